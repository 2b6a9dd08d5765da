"""An API server behind the port: objects, their status, their logs. Needs the cluster.

Kinds are known, so nothing is discovered, and objects stay JSON: the library's typed models
would add 25 MB to every process. No exception of aiohttp or kubernetes escapes.
"""

import socket
from collections.abc import AsyncGenerator, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, Final

import aiohttp
from kubernetes.aio.client.api_client import ApiClient

from qinstruct_operator.cluster.credentials import Credentials
from qinstruct_operator.cluster.errors import AlreadyExists, ClusterError, NotFound, Refused
from qinstruct_operator.cluster.port import Resource
from qinstruct_operator.cluster.transport import Query, Transport
from qinstruct_operator.cluster.url_paths import api_path, field_selector, label_selector
from qinstruct_operator.constants import FIELD_MANAGER
from qinstruct_operator.kinds import POD, Kind

_APPLY: Final = "application/apply-patch+yaml"
_MERGE: Final = "application/merge-patch+json"
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
        credentials: Credentials | None = None,
        namespace: str = "default",
        timeout: float = 30.0,
        field_manager: str = FIELD_MANAGER,
    ) -> None:
        self._transport = Transport(client, timeout, credentials)
        self._manager: Query = (("fieldManager", field_manager),)
        self.server = self._transport.server
        self.namespace = namespace

    @property
    def transport(self) -> Transport:
        """For requests that the port does not have: kopf's own, and lists of metadata alone."""
        return self._transport

    async def get(self, kind: Kind, namespace: str | None, name: str) -> Resource | None:
        """The object, or None where there is none.

        Raises:
            UnknownKind: the server does not know the kind now, so that nobody can say it.
        """
        tried = _tried("get", kind, namespace, name)
        try:
            return await self._transport.send(tried, "GET", api_path(kind, namespace, name))
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
            query += (("labelSelector", label_selector(labels)),)
        if fields:
            query += (("fieldSelector", field_selector(fields)),)
        try:
            return await self._pages(kind, namespace, query)
        except ClusterError as error:
            if error.status != _GONE:
                raise
        return await self._pages(kind, namespace, query)

    async def apply(self, manifest: Resource) -> Resource:
        """Server-side apply as our field manager, with force; the object as it is then."""
        kind, namespace, name = _identity(manifest)
        return await self._transport.send(
            _tried("apply", kind, namespace, name),
            "PATCH",
            api_path(kind, namespace, name),
            query=(*self._manager, ("force", "true")),
            body=manifest,
            content_type=_APPLY,
        )

    async def patch(self, patch: Resource) -> Resource:
        """Merge patch of the object that the patch names; the object as it is then.

        What the patch does not have stays as it is, and None takes a field away.

        Raises:
            Conflict: it is not of the resourceVersion that the patch has.
            NotFound: it is gone.
        """
        kind, namespace, name = _identity(patch)
        return await self._transport.send(
            _tried("patch", kind, namespace, name),
            "PATCH",
            api_path(kind, namespace, name),
            query=self._manager,
            body=patch,
            content_type=_MERGE,
        )

    async def create(self, manifest: Resource) -> Resource | None:
        """Create the object; None where one of that name exists, which is left alone."""
        kind, namespace, name = _identity(manifest)
        tried = _tried("create", kind, namespace, name)
        try:
            return await self._transport.send(
                tried, "POST", api_path(kind, namespace), query=self._manager, body=manifest
            )
        except AlreadyExists:
            return None

    async def replace_status(self, resource: Resource, status: Mapping[str, Any]) -> Resource:
        """Replace the whole status of the object as it was read; the object as it is then.

        A PUT of the object to its status: one request in which a key that is no longer there
        is gone without being named, of which the server takes nothing but the status, and
        which it refuses unless the resourceVersion is the newest.

        Raises:
            Conflict: it was changed since.
            NotFound: it is gone.
        """
        kind, namespace, name = _identity(resource)
        return await self._transport.send(
            _tried("write the status of", kind, namespace, name),
            "PUT",
            api_path(kind, namespace, name, "status"),
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
            async with self._log(namespace, pod, query, self._transport.timeout) as answer:
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
        path = api_path(POD, namespace, pod, "log")
        return self._transport.open(tried, "GET", path, query=query, read_timeout=timeout)

    async def _pages(self, kind: Kind, namespace: str | None, query: Query) -> tuple[Resource, ...]:
        where = f" of {namespace or 'all namespaces'}" if kind.namespaced else ""
        tried = f"list {kind.plural}{where}"
        path = api_path(kind, namespace)
        # Items of the server's own kinds do not say what they are.
        said = {"apiVersion": kind.api_version, "kind": kind.kind}
        items: list[Resource] = []
        async for page in self._transport.pages(tried, path, query=query):
            items.extend(said | item for item in page.get("items") or ())
        return tuple(items)


def _identity(manifest: Resource) -> tuple[Kind, str | None, str]:
    meta = manifest["metadata"]
    return (
        Kind.of(manifest),
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
