"""The HTTP session that kopf gets: our client's requests, and none of its failures.

kopf stops the whole process when a list or a watch answers with a 401, a 404 or anything that is
not JSON, and never watches a kind that discovery did not name at the right moment. So it is told
what is always true (the kinds are known), it gets replies that were checked, and whatever else
happens looks to it like a stream that has ended: it opens the next one. Both go through our own
client: one address, one set of credentials.

kopf asks a session for four things: `request`, `headers`, `closed` and `close`.
"""

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AsyncExitStack
from typing import Any, Final, Self
from urllib.parse import parse_qsl, unquote, urlsplit

import aiohttp

from qinstruct_operator.cluster.errors import ClusterError
from qinstruct_operator.cluster.transport import Query, Transport
from qinstruct_operator.constants import VERSION
from qinstruct_operator.hearing import Hearing
from qinstruct_operator.kinds import TRAINING, Kind

Json = dict[str, Any]

_log = logging.getLogger(__name__)
_NAMESPACE: Final = Kind("v1", "Namespace", namespaced=False)  # kopf waits until it knows it
_GONE: Final = b'{"type": "ERROR", "object": {"kind": "Status", "code": 410}}\n'
"""The event after which kopf lists anew and watches from there."""
_TYPES: Final = ("ADDED", "MODIFIED", "DELETED", "BOOKMARK", "ERROR")
_LINE_BYTES: Final = 16 * 2**20  # an object has 1.5 MB at most (etcd's limit), as JSON some more
_AT_ONCE: Final = 1.0  # seconds; a watch that ends sooner and has said nothing did not work
_TOO_MANY: Final = 429


class UnusableReplyError(Exception):
    """A reply with which kopf cannot go on; the text says what is wrong with it."""


class KopfSession:
    """Answers kopf's requests.

    Attributes:
        headers: of the session; kopf looks for its own name in it.
        closed: never, from kopf's point of view: whoever made the client closes it.
        namespaces: of the runs that kopf watches; None: all.
    """

    closed: Final = False

    def __init__(self, transport: Transport, hearing: Hearing, kinds: Iterable[Kind]) -> None:
        self.headers = {"User-Agent": f"qinstruct/{VERSION}"}
        self.namespaces: set[str | None] = set()
        self._transport = transport
        self._hearing = hearing
        self._documents = discovery((*kinds, _NAMESPACE))
        self._silent: set[str] = set()  # watches of which the last one died in silence

    async def request(
        self,
        *,
        url: str,
        method: str = "get",
        timeout: aiohttp.ClientTimeout | None = None,
        **_: Any,
    ) -> "Reply":
        """The answer of one request.

        Raises:
            ClientPayloadError: it failed; kopf begins again with a list.
            ValueError: it is to change something, which no handler of ours asks kopf to do.
        """
        if method != "get":
            raise ValueError(f"{method} {url}: this session only reads")
        parts = urlsplit(url.removeprefix(self._transport.server))
        if parts.path in self._documents:
            return Reply(self._documents[parts.path])
        query = tuple(parse_qsl(parts.query))
        asked = _Asked(parts.path, query)
        if asked.plural == TRAINING.plural:
            self.namespaces.add(asked.namespace)
        if dict(query).get("watch") == "true":
            return await self._watch(asked, timeout.total if timeout else None)
        return await self._list(asked)

    async def close(self) -> None:
        """Nothing."""

    async def _list(self, asked: "_Asked") -> "Reply":
        what = f"list {asked.text}"
        try:
            found = await self._transport.send(what, "GET", asked.path, query=asked.query)
            check_list(found)
        except (ClusterError, UnusableReplyError) as error:
            await self._wait(what, error)
            raise aiohttp.ClientPayloadError(str(error)) from error
        self._hearing.succeeded(what, runs=asked.is_runs)
        return Reply(found)

    async def _watch(self, asked: "_Asked", seconds: float | None) -> "Reply":
        what, stack = f"watch {asked.text}", AsyncExitStack()
        try:
            answer = await stack.enter_async_context(
                self._transport.open(
                    what, "GET", asked.path, query=asked.query, read_timeout=seconds
                )
            )
        except ClusterError as error:
            await self._wait(what, error)
            if error.status is not None and error.status < 500 and error.status != _TOO_MANY:
                return Reply(lines=_once(_GONE))  # begin anew, where it is known what there is
            raise aiohttp.ClientPayloadError(str(error)) from error
        return Reply(lines=self._lines(asked, answer), stack=stack)

    async def _lines(self, asked: "_Asked", answer: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
        """The events of a watch, a line each, until it ends for whatever reason."""
        what, began, has_spoken = f"watch {asked.text}", time.monotonic(), False
        trouble: Exception | None = None
        later = asyncio.get_running_loop().call_later(_AT_ONCE, self._is_open, what)
        try:
            async for line in _events(answer.content):
                has_spoken = True
                self._silent.discard(what)
                self._hearing.succeeded(what, runs=asked.is_runs)
                yield line + b"\n"
        except TimeoutError:
            self._silent.add(what)
            trouble = TimeoutError("it says nothing any more, not even that it ends")
        except UnusableReplyError as error:
            trouble = error
        except (aiohttp.ClientError, OSError) as error:
            _log.debug("%s: %r", what, error)  # connections are lost every day
        finally:
            later.cancel()
            answer.close()
        if not (trouble or has_spoken) and time.monotonic() - began < _AT_ONCE:
            trouble = ConnectionError("it ended as soon as it was open")
        if trouble:
            await self._wait(what, trouble)
        else:
            self._silent.discard(what)
            self._hearing.succeeded(what, runs=asked.is_runs)
        if isinstance(trouble, UnusableReplyError):
            yield _GONE

    def _is_open(self, what: str) -> None:
        """A watch is open for a while: it works, unless the last one had said nothing at all."""
        if what not in self._silent:
            self._hearing.succeeded(what, runs=False)

    async def _wait(self, what: str, error: Exception) -> None:
        await asyncio.sleep(self._hearing.failed(what, error))


class Reply:
    """A success, as kopf reads it: a document, or the lines of a watch."""

    status: Final = 200

    def __init__(
        self,
        document: Json | None = None,
        *,
        lines: AsyncIterator[bytes] | None = None,
        stack: AsyncExitStack | None = None,
    ) -> None:
        self._document = document
        self._lines = lines
        self._stack = stack or AsyncExitStack()
        self.closed = False

    @property
    def content(self) -> Self:
        """What is iterated over."""
        return self

    async def json(self) -> Json | None:
        """The document."""
        return self._document

    async def iter_chunked(self, _size: int) -> AsyncIterator[bytes]:
        """The lines."""
        if self._lines is not None:
            async for line in self._lines:
                yield line

    def close(self) -> None:
        """Nothing: kopf closes only what it pauses, and nothing pauses this operator."""

    async def __aenter__(self) -> Self:
        """Itself."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the connection."""
        self.closed = True
        await self._stack.aclose()


class _Asked:
    """A collection, as a URL names it."""

    def __init__(self, path: str, query: Query) -> None:
        self.path = path
        self.query = query
        *before, self.plural = [unquote(part) for part in path.strip("/").split("/")]
        is_namespaced = len(before) > 1 and before[-2] == "namespaces"
        self.namespace = before[-1] if is_namespaced else None

    @property
    def is_runs(self) -> bool:
        return self.plural == TRAINING.plural

    @property
    def text(self) -> str:
        return f"{self.plural} of {self.namespace or 'all namespaces'}"


def discovery(kinds: Iterable[Kind]) -> Mapping[str, Json]:
    """What an API server with these kinds, and no others, says of itself; by path."""
    documents: dict[str, Json] = {"/api": {"versions": []}, "/apis": {"groups": []}}
    for kind in kinds:
        path = f"/{'apis' if kind.group else 'api'}/{kind.api_version}"
        if path not in documents:
            documents[path] = {"resources": []}
            if kind.group:
                version = {"version": kind.version}
                documents["/apis"]["groups"].append(
                    {"name": kind.group, "versions": [version], "preferredVersion": version}
                )
            else:
                documents["/api"]["versions"].append(kind.version)
        documents[path]["resources"].append(
            {
                "name": kind.plural,
                "singularName": kind.kind.lower(),
                "kind": kind.kind,
                "namespaced": kind.namespaced,
                "verbs": ["list", "watch"],
            }
        )
    return documents


def check_event(line: bytes) -> None:
    """Refuse a line of a watch after which kopf would stop.

    Raises:
        UnusableReplyError: it is no event, or one that says that the watch has failed.
    """
    try:
        event = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise UnusableReplyError(f"it says {_quoted(line)}, which is not JSON") from error
    if not isinstance(event, dict) or event.get("type") not in _TYPES:
        raise UnusableReplyError(f"it says {_quoted(line)}, which is no event")
    about = event.get("object")
    if event["type"] == "ERROR":
        said = about if isinstance(about, dict) else {}
        raise UnusableReplyError(f"it failed: {said.get('message') or _quoted(line)}")
    if not _is_object(about, named=event["type"] != "BOOKMARK"):
        raise UnusableReplyError(f"it says {_quoted(line)}, which is no object")


def check_list(found: Json) -> None:
    """Refuse a list after which kopf would stop.

    Raises:
        UnusableReplyError: it is no list of objects.
    """
    items, meta = found.get("items"), found.get("metadata")
    if not isinstance(meta, dict) or not isinstance(items, list):
        raise UnusableReplyError("the answer is no list")
    if not all(_is_object(one) for one in items):
        raise UnusableReplyError("the answer is a list of something else than objects")


async def _events(content: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    """The lines of a watch, each of them an event; complete ones alone."""
    rest = bytearray()
    try:
        async for chunk in content.iter_any():
            rest += chunk
            if len(rest) > _LINE_BYTES:
                raise UnusableReplyError("it sends a line without end")
            if b"\n" not in chunk:
                continue
            *lines, last = bytes(rest).split(b"\n")
            rest = bytearray(last)
            for line in filter(bytes.strip, lines):
                check_event(line)
                yield line
    except aiohttp.ClientError as error:
        if rest.strip():
            raise UnusableReplyError("it was cut in the middle of a line") from error
        raise
    if rest.strip():
        raise UnusableReplyError("it ends in the middle of a line")


def _is_object(found: object, *, named: bool = True) -> bool:
    if not isinstance(found, dict) or not isinstance(found.get("metadata"), dict):
        return False
    meta = found["metadata"]
    texts = ("name", "uid", "resourceVersion") if named else ("resourceVersion",)
    maps = (meta.get("labels"), meta.get("annotations"), found.get("spec"), found.get("status"))
    return all(isinstance(meta.get(key), str) for key in texts) and all(
        one is None or isinstance(one, dict) for one in maps
    )


def _quoted(line: bytes) -> str:
    return repr(line[:80].decode("utf-8", "replace"))


async def _once(line: bytes) -> AsyncIterator[bytes]:
    yield line
