"""A scripted API server on loopback: it gives the answers of a test, one after the other."""

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True)
class Request:
    """One request as it came in."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes


@dataclass
class ScriptedServer:
    """A server and what it was asked.

    Attributes:
        url: without a slash at the end.
        answers: one for each request; the last one stays.
    """

    url: str
    answers: list[Answer]
    requests: list[Request] = field(default_factory=list)


@asynccontextmanager
async def serve(
    *answers: Answer, tls: ssl.SSLContext | None = None
) -> AsyncIterator[ScriptedServer]:
    """Serve on a free port until the block ends."""
    server = ScriptedServer("", list(answers))

    async def handle(request: web.Request) -> web.StreamResponse:
        headers = {name.lower(): value for name, value in request.headers.items()}
        asked = Request(
            request.method, request.path, dict(request.query), headers, await request.read()
        )
        server.requests.append(asked)
        answer = server.answers[0] if len(server.answers) == 1 else server.answers.pop(0)
        return await answer(request)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
        await site.start()
        host, port = runner.addresses[0][:2]
        server.url = f"{'https' if tls else 'http'}://{host}:{port}"
        yield server
    finally:
        await runner.cleanup()


def says(body: Any, status: int = 200, **headers: str) -> Answer:
    """A JSON answer."""

    async def answer(_: web.Request) -> web.StreamResponse:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return web.json_response(body, status=status, headers=named)

    return answer


def refuses(status: int, message: str, **headers: str) -> Answer:
    """A refusal as an API server writes it."""
    body = {"kind": "Status", "status": "Failure", "message": message, "code": status}
    return says(body, status, **headers)


def text(body: bytes, status: int = 200) -> Answer:
    """An answer that is not JSON."""

    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(body=body, status=status)

    return answer
