"""The path of an object or of a kind's collection on an API server. Pure."""

from collections.abc import Mapping
from urllib.parse import quote

from qinstruct_operator.cluster.errors import NotFound
from qinstruct_operator.kinds import Kind


def api_path(
    kind: Kind, namespace: str | None, name: str | None = None, subresource: str | None = None
) -> str:
    """The path of a collection or, with a name, of an object or one of its subresources.

    Raises:
        ValueError: an object of a namespaced kind without its namespace.
        NotFound: a name that no object can have.
    """
    if kind.namespaced and namespace is None and name is not None:
        raise ValueError(f"{kind.kind} {name} needs a namespace")
    path = f"/{'apis' if kind.group else 'api'}/{kind.api_version}"
    if kind.namespaced and namespace is not None:
        path += f"/namespaces/{_segment(namespace)}"
    path += f"/{kind.plural}"
    if name is not None:
        path += f"/{_segment(name)}"
    return path if subresource is None else f"{path}/{subresource}"


def field_selector(fields: Mapping[str, str]) -> str:
    """The selector of objects whose fields have these values."""
    return ",".join(f"{key}={_escaped(value)}" for key, value in fields.items())


def label_selector(labels: Mapping[str, str]) -> str:
    """The selector of objects that have these labels."""
    return ",".join(f"{key}={value}" for key, value in labels.items())


def _segment(name: str) -> str:
    """The name as one part of a path; by the server's own rule it can reach nothing else."""
    if name in ("", ".", "..") or "/" in name or "%" in name:
        raise NotFound(f"{name!r} is not a name that an object can have", status=404)
    return quote(name, safe="")


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace(",", "\\,").replace("=", "\\=")
