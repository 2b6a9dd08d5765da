"""The port over kubernetes.aio: paths, requests, answers. Needs the cluster.

Kinds are known, so nothing is discovered, and objects stay JSON: the library's typed models
would add 25 MB to every process. Nothing of aiohttp or kubernetes escapes as an exception.
"""

import asyncio
import json
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Final
from urllib.parse import quote

import aiohttp
from kubernetes.aio.client.api_client import ApiClient

from qinstruct_operator.cluster.errors import AlreadyExists, ClusterError, NotFound, Refused
from qinstruct_operator.cluster.port import Resource
from qinstruct_operator.cluster.refusals import refusal, unreachable
from qinstruct_operator.constants import FIELD_MANAGER
from qinstruct_operator.kinds import KINDS, POD, Kind

Query = tuple[tuple[str, str], ...]

_JSON: Final = "application/json"
_APPLY: Final = "application/apply-patch+yaml"
_PAGE: Final = "500"  # objects of one answer: a long list must not be one long answer
_GONE: Final = 410  # the continue token is older than the server's history
_LOG_BYTES: Final = 256 * 1024
_LOG_BYTES_ASKED: Final = 16 * 1024 * 1024
_LINE_BYTES: Final = 64 * 1024
_NOT_STARTED: Final = ("is waiting to start", "does not have a host assigned")


class KubeCluster:
    """An API server behind `port.Cluster`; `connect` makes one.

    Attributes:
        server: its URL.
        namespace: the namespace that the source of the credentials names.
    """

    def __init__(
        self,
        client: ApiClient,
        *,
        namespace: str = "default",
        timeout: float = 30.0,
        field_manager: str = FIELD_MANAGER,
    ) -> None:
        self._client = client
        self._timeout = timeout
        self._manager: Query = (("fieldManager", field_manager),)
        self.server = str(client.configuration.host)
        self.namespace = namespace

    async def get(self, kind: Kind, namespace: str | None, name: str) -> Resource | None:
        """The object, or None where there is none (or its kind is not installed)."""
        tried = _tried("get", kind, namespace, name)
        try:
            return await self._send(tried, "GET", _path(kind, namespace, name))
        except NotFound:
            return None

    async def list(
        self,
        kind: Kind,
        namespace: str | None,
        *,
        labels: Mapping[str, str] | None = None,
        fields: Mapping[str, str] | None = None,
    ) -> tuple[Resource, ...]:
        """Objects of a namespace (None: of all) that have the labels and the field values."""
        query: Query = (("limit", _PAGE),)
        if labels:
            query += (("labelSelector", ",".join(f"{k}={v}" for k, v in labels.items())),)
        if fields:
            query += (("fieldSelector", ",".join(f"{k}={_field(v)}" for k, v in fields.items())),)
        try:
            return await self._pages(kind, namespace, query)
        except ClusterError as error:
            if error.status != _GONE:
                raise
        return await self._pages(kind, namespace, query)

    async def apply(self, manifest: Resource) -> Resource:
        """Server-side apply as our field manager, with force; the object as it is then."""
        kind, namespace, name = _identity(manifest)
        return await self._send(
            _tried("apply", kind, namespace, name),
            "PATCH",
            _path(kind, namespace, name),
            query=(*self._manager, ("force", "true")),
            body=manifest,
            content_type=_APPLY,
        )

    async def create(self, manifest: Resource) -> Resource | None:
        """Create the object; None where one of that name exists, which is left alone."""
        kind, namespace, name = _identity(manifest)
        tried = _tried("create", kind, namespace, name)
        try:
            return await self._send(
                tried, "POST", _path(kind, namespace), query=self._manager, body=manifest
            )
        except AlreadyExists:
            return None

    async def patch_status(self, resource: Resource, status: Mapping[str, Any]) -> Resource:
        """Replace the whole status of the object as it was read; the object as it is then.

        A PUT of the object to its status: one request in which a key that is no longer there
        is gone without being named, of which the server takes nothing but the status, and
        which it refuses unless the resourceVersion is the newest.

        Raises:
            Conflict: it was changed since.
            NotFound: it is gone.
        """
        kind, namespace, name = _identity(resource)
        return await self._send(
            _tried("write the status of", kind, namespace, name),
            "PUT",
            _path(kind, namespace, name, "status"),
            query=self._manager,
            body={**resource, "status": dict(status)},
        )

    async def read_log(
        self, namespace: str, pod: str, container: str, *, tail_lines: int
    ) -> tuple[str, ...]:
        """The last lines of a container's log; none where it has not started or is gone.

        At most the last 256 KiB. The server's own bound, `limitBytes`, keeps the beginning of
        the tail, while the reason of a failure stands at the end: it only bounds the traffic.
        """
        query = (
            ("container", container),
            ("tailLines", str(tail_lines)),
            ("limitBytes", str(_LOG_BYTES_ASKED)),
        )
        text = bytearray()
        cut = False
        try:
            async with self._log(namespace, pod, query, self._timeout) as answer:
                async for chunk in answer.content.iter_any():
                    text += chunk
                    if len(text) > _LOG_BYTES:
                        del text[:-_LOG_BYTES]
                        cut = True
        except NotFound:
            return ()
        except Refused as error:
            if any(words in str(error) for words in _NOT_STARTED):
                return ()
            raise
        lines = bytes(text).removesuffix(b"\n").split(b"\n") if text else []
        if cut and len(lines) > 1:
            lines = lines[1:]  # its beginning is gone
        return tuple(_line(line) for line in lines)

    async def follow_log(
        self, namespace: str, pod: str, container: str
    ) -> AsyncGenerator[str, None]:
        """Every line of a container's log, and further ones until the container ends.

        A line over 64 KiB may come in pieces. The end of the lines does not prove that the
        container ended (a dying kubelet closes them too): the pod's status does.

        Raises:
            NotFound: the pod is gone.
            Refused: the container has not started.
            ClusterError: the connection was lost.
        """
        query = (("container", container), ("follow", "true"))
        rest = b""
        async with self._log(namespace, pod, query, None) as answer:
            _probe_when_idle(answer)
            async for chunk in answer.content.iter_any():
                *lines, rest = (rest + chunk).split(b"\n")
                if len(rest) > _LINE_BYTES:
                    lines, rest = [*lines, rest], b""
                for line in lines:
                    yield _line(line)
        if rest:
            yield _line(rest)

    def _log(
        self, namespace: str, pod: str, query: Query, timeout: float | None
    ) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        tried = _tried("read the log of", POD, namespace, pod)
        path = _path(POD, namespace, pod, "log")
        return self._open(tried, "GET", path, query=query, read_timeout=timeout)

    async def _pages(self, kind: Kind, namespace: str | None, query: Query) -> tuple[Resource, ...]:
        where = f" of {namespace or 'all namespaces'}" if kind.namespaced else ""
        tried = f"list {kind.plural}{where}"
        path = _path(kind, namespace)
        # Items of the server's own kinds do not say what they are.
        said = {"apiVersion": kind.api_version, "kind": kind.kind}
        items: list[Resource] = []
        more: Query = ()
        while True:
            page = await self._send(tried, "GET", path, query=query + more)
            items.extend(said | item for item in page.get("items") or ())
            token = (page.get("metadata") or {}).get("continue")
            if not token:
                return tuple(items)
            more = (("continue", token),)

    async def _send(
        self,
        tried: str,
        method: str,
        path: str,
        *,
        query: Query = (),
        body: Resource | None = None,
        content_type: str = _JSON,
    ) -> Resource:
        """One request; the JSON object that answers it."""
        async with self._open(
            tried,
            method,
            path,
            query=query,
            body=body,
            content_type=content_type,
            read_timeout=self._timeout,
        ) as answer:
            text = await answer.read()
        try:
            found = json.loads(text)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise ClusterError(
                f"{tried}: {self.server} answers with something else than a JSON object;"
                " is it an API server?"
            )
        return found

    @asynccontextmanager
    async def _open(
        self,
        tried: str,
        method: str,
        path: str,
        *,
        query: Query,
        read_timeout: float | None,
        body: Resource | None = None,
        content_type: str = _JSON,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """One request; its answer, still to be read, where it is a success."""
        try:
            async with asyncio.timeout(self._timeout):  # for new credentials as well
                request = await self._client.param_serialize(
                    method,
                    path,
                    query_params=list(query),
                    header_params={"Accept": _JSON, "Content-Type": content_type},
                    body=body,
                    auth_settings=["BearerToken"],
                )
                wrapped = await self._client.call_api(
                    *request, _request_timeout=aiohttp.ClientTimeout(total=read_timeout)
                )
            answer: aiohttp.ClientResponse = wrapped.response
            try:
                if not answer.ok:
                    raise refusal(tried, answer.status, answer.headers, await answer.read())
                yield answer
            finally:
                answer.close()  # nothing where it was read to its end: the connection lives on
        except (aiohttp.ClientError, OSError) as error:  # OSError: TimeoutError, a token file
            raise unreachable(tried, self.server, error, self._timeout) from error


def _path(
    kind: Kind, namespace: str | None, name: str | None = None, subresource: str | None = None
) -> str:
    if kind.namespaced and namespace is None and name is not None:
        raise ValueError(f"{kind.kind} {name} needs a namespace")
    path = f"/{'apis' if kind.group else 'api'}/{kind.api_version}"
    if kind.namespaced and namespace is not None:
        path += f"/namespaces/{_segment(namespace)}"
    path += f"/{kind.plural}"
    if name is not None:
        path += f"/{_segment(name)}"
    return path if subresource is None else f"{path}/{subresource}"


def _segment(name: str) -> str:
    """The name as one part of a path; by the server's own rule it can reach nothing else."""
    if name in ("", ".", "..") or "/" in name or "%" in name:
        raise NotFound(f"{name!r} is not a name that an object can have", status=404)
    return quote(name, safe="")


def _field(value: str) -> str:
    """The value as field selectors escape it."""
    return value.replace("\\", "\\\\").replace(",", "\\,").replace("=", "\\=")


def _identity(manifest: Resource) -> tuple[Kind, str | None, str]:
    meta = manifest["metadata"]
    return (
        KINDS[(manifest["apiVersion"], manifest["kind"])],
        meta.get("namespace"),
        meta["name"],
    )


def _tried(verb: str, kind: Kind, namespace: str | None, name: str) -> str:
    return f"{verb} {kind.kind} {namespace}/{name}" if namespace else f"{verb} {kind.kind} {name}"


def _line(raw: bytes) -> str:
    return raw.decode("utf-8", "replace").removesuffix("\r")


def _probe_when_idle(answer: aiohttp.ClientResponse) -> None:
    """Let the kernel notice within a minute that the other side of a silent stream is gone."""
    connection = answer.connection  # None where the answer is here to its end already
    transport = connection.transport if connection else None
    stream = transport.get_extra_info("socket") if transport else None
    for option, seconds in (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3)):
        if stream is not None and hasattr(socket, option):  # Linux's names
            stream.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), seconds)
