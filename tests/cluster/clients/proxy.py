"""A proxy between a client and the API server that injects faults and records every request.

Plain http on a free port of loopback towards the client, TLS towards the server. Everything is
passed on as it is, watches and followed logs byte by byte, until a `Rule` says otherwise. It runs
in a thread, so that a test can script it while the client is at work.
"""

import asyncio
import json
import re
import socket
import ssl
import struct
import threading
import time
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, TypeVar

import aiohttp
from aiohttp import hdrs, web
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from cluster.clients.fault_rules import (
    Answer,
    Delay,
    Exchange,
    Fault,
    Kill,
    Moment,
    Precede,
    Reset,
    Rule,
    asks_for,
)

T = TypeVar("T")

_REASONS: Final = MappingProxyType(
    {
        401: "Unauthorized",
        403: "Forbidden",
        404: "NotFound",
        409: "Conflict",
        410: "Expired",
        429: "TooManyRequests",
        500: "InternalError",
        503: "ServiceUnavailable",
    }
)
# Of one hop alone (RFC 9110, 7.6.1), or of the body as aiohttp frames it anew.
_HOP_HEADERS: Final = frozenset(
    {"connection", "keep-alive", "transfer-encoding", "upgrade", "host", "content-length", "date"}
)
_CLOSING: Final = 0.1  # seconds for the event loop to close the sockets of aborted connections
_MAX_BODY: Final = 16 * 2**20


@dataclass(eq=False)
class _Watch:
    """A watch that is open to the client."""

    path: str
    client: asyncio.Transport
    answer: web.StreamResponse
    is_silent: bool = False
    is_between_lines: bool = True


class _Broken(Exception):  # noqa: N818 - an outcome, not an error
    """The client's connection is to be broken."""


class FaultProxy:
    """What will go wrong and what was asked; made by `fault_proxy`.

    Attributes:
        url: for the client, without a slash at the end.
    """

    def __init__(self, server: str, ca: Path | None) -> None:
        self.url = ""
        self._server = server.rstrip("/")
        self._tls = ssl.create_default_context(cafile=ca) if ca else None
        self._rules: list[Rule] = []
        self._counts: list[int] = []
        self._exchanges: list[Exchange] = []
        self._watches: set[_Watch] = set()
        self._loop = asyncio.new_event_loop()

    @property
    def exchanges(self) -> tuple[Exchange, ...]:
        """Every request so far, in the order of arrival."""
        return tuple(self._exchanges)

    @property
    def writes(self) -> tuple[Exchange, ...]:
        """Every request so far that was to change something."""
        return tuple(exchange for exchange in self.exchanges if exchange.is_write)

    @property
    def num_open_watches(self) -> int:
        """How many watches are open to the client now."""
        return len(self._watches)

    @property
    def unmet(self) -> tuple[Rule, ...]:
        """The rules that have not yet applied as often as they are to."""
        pairs = zip(self._rules, self._counts, strict=True)
        return tuple(rule for rule, count in pairs if count < rule.nth + rule.times - 1)

    def add(self, *rules: Rule) -> None:
        """Let matching requests go wrong from now on; of several rules the first one wins."""

        async def add() -> None:
            self._rules.extend(rules)
            self._counts.extend(0 for _ in rules)

        self._run(add())

    def clear(self) -> None:
        """Let nothing go wrong any more."""

        async def clear() -> None:
            self._rules.clear()
            self._counts.clear()

        self._run(clear())

    def cut_watches(self) -> int:
        """Reset the connection of every open watch; how many there were."""

        async def cut() -> int:
            for watch in self._watches:
                _reset(watch.client)
            return len(self._watches)

        return self._run(cut())

    def silence_watches(self) -> int:
        """Pass nothing on any more in the watches that are open, and keep them open."""

        async def silence() -> int:
            for watch in self._watches:
                watch.is_silent = True
            return len(self._watches)

        return self._run(silence())

    def expire_watches(self) -> int:
        """End every open watch as the server does when its history is gone: ERROR, 410."""
        return self.end_watches(error_event(410))

    def end_watches(self, last: bytes, path: str = "", *, keep_open: bool = False) -> int:
        """End the open watches whose path matches with some last bytes; how many there were.

        Args:
            last: what is said at the end, whatever it is.
            path: regular expression to be found in the path with its query.
            keep_open: do not close the connection.
        """

        async def end() -> int:
            watches = [watch for watch in self._watches if re.search(path, watch.path)]
            for watch in watches:
                while not watch.is_between_lines:
                    await asyncio.sleep(0.01)
                watch.is_silent = True
                with suppress(ConnectionError):
                    await watch.answer.write(last)
                    if not keep_open:
                        await watch.answer.write_eof()
                if not keep_open:
                    watch.client.close()
            return len(watches)

        return self._run(end())

    def start(self) -> None:
        """Listen, and answer in a thread."""
        self._loop.run_until_complete(self._start())
        self._thread = threading.Thread(target=self._loop.run_forever, name="fault proxy")
        self._thread.start()

    def stop(self) -> None:
        """Break what is open and stop listening."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.run_until_complete(self._stop())
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    async def _start(self) -> None:
        # No limits of our own: the client's and the server's are the ones under test.
        self._connector = aiohttp.TCPConnector(limit=0, ssl=self._tls or True)
        self._session = aiohttp.ClientSession(
            connector=self._connector,
            timeout=aiohttp.ClientTimeout(total=None),
            auto_decompress=False,
            skip_auto_headers=(hdrs.ACCEPT, hdrs.ACCEPT_ENCODING, hdrs.CONTENT_TYPE),
        )
        application = web.Application(client_max_size=_MAX_BODY)
        application.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(
            application, handler_cancellation=True, access_log=None, shutdown_timeout=0
        )
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def _stop(self) -> None:
        await self._runner.cleanup()
        # An orderly end of TLS waits for the server, on a busy machine longer than we do.
        await self._connector.close(abort_ssl=True)
        await self._session.close()
        await asyncio.sleep(_CLOSING)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        arrived, body = time.monotonic(), await request.read()
        sent = (request.method, request.raw_path, body, request.headers.get("Content-Type", ""))
        exchange = Exchange(*sent, arrived)
        exchange.fault = self._fault_for(exchange)
        self._exchanges.append(exchange)
        try:
            return await self._answer(request, exchange)
        except (_Broken, aiohttp.ClientError, ConnectionError):
            # A server that is away is to look to the client as it would without us.
            if request.transport:
                _reset(request.transport)
            return web.Response()

    def _fault_for(self, exchange: Exchange) -> Fault | None:
        faults: list[Fault] = []
        for number, rule in enumerate(self._rules):
            if rule.matches(exchange):
                self._counts[number] += 1
                if rule.nth <= self._counts[number] < rule.nth + rule.times:
                    faults.append(rule.fault)
        return faults[0] if faults else None

    async def _answer(self, request: web.Request, exchange: Exchange) -> web.StreamResponse:
        fault = exchange.fault
        if isinstance(fault, Answer):
            exchange.status = fault.status
            wait = {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)}
            if fault.body is not None:
                return web.Response(body=fault.body, status=fault.status, headers=wait)
            body = _status_object(fault.status)
            return web.json_response(body, status=fault.status, headers=wait)
        if isinstance(fault, Delay):
            await asyncio.sleep(fault.seconds)
        if isinstance(fault, Precede):
            await asyncio.to_thread(fault.action)
        await _break(fault, "before")
        async with self._session.request(
            request.method,
            URL(self._server + exchange.path, encoded=True),
            headers=_end_to_end(request.headers),
            data=exchange.body or None,
            allow_redirects=False,
        ) as answer:
            if asks_for(exchange.path, "watch") or asks_for(exchange.path, "follow"):
                return await self._stream(request, exchange, answer)
            content = await answer.read()
            exchange.is_answered = True
            await _break(fault, "after")
            exchange.status = answer.status
            return web.Response(
                body=content, status=answer.status, headers=_end_to_end(answer.headers)
            )

    async def _stream(
        self, request: web.Request, exchange: Exchange, answer: aiohttp.ClientResponse
    ) -> web.StreamResponse:
        exchange.is_answered, exchange.status = True, answer.status
        response = web.StreamResponse(status=answer.status, headers=_end_to_end(answer.headers))
        watch = _Watch(exchange.path, _transport(request), response)
        await response.prepare(request)
        if exchange.is_watch:
            self._watches.add(watch)
        try:
            async for chunk in answer.content.iter_any():
                if not watch.is_silent:
                    watch.is_between_lines = chunk.endswith(b"\n")
                    await response.write(chunk)
        finally:
            self._watches.discard(watch)
        return response


@contextmanager
def fault_proxy(server: str, ca: Path | None) -> Iterator[FaultProxy]:
    """A proxy in front of a server, with the certificate authority of its https, until the end."""
    proxy = FaultProxy(server, ca)
    proxy.start()
    try:
        yield proxy
    finally:
        proxy.stop()


def error_event(code: int) -> bytes:
    """The line with which a server ends a watch that has failed."""
    return json.dumps({"type": "ERROR", "object": _status_object(code)}).encode() + b"\n"


async def _break(fault: Fault | None, moment: Moment) -> None:
    if isinstance(fault, Kill | Reset) and fault.when == moment:
        if isinstance(fault, Kill):
            await asyncio.to_thread(fault.kill)
        raise _Broken


def _status_object(code: int) -> dict[str, object]:
    return {
        **{"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"},
        **{"message": "a fault that a test asked for", "reason": _REASONS[code], "code": code},
    }


def _end_to_end(headers: CIMultiDictProxy[str]) -> CIMultiDict[str]:
    return CIMultiDict(
        (name, value) for name, value in headers.items() if name.lower() not in _HOP_HEADERS
    )


def _transport(request: web.Request) -> asyncio.Transport:
    transport = request.transport
    if transport is None:
        raise ConnectionResetError("the client is gone")
    return transport


def _reset(transport: asyncio.Transport) -> None:
    """Close at once with a TCP reset, not an orderly end."""
    connection: socket.socket = transport.get_extra_info("socket")
    with suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
