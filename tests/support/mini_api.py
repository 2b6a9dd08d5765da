"""A small API server on loopback: lists, watches and single objects of any kind, in memory.

It stands behind a fault proxy, so that a real operator process can be told nonsense without a
cluster. What it does not know it answers as an API server does: 404.
"""

import asyncio
import itertools
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from aiohttp import web

from qinstruct_operator.constants import API_VERSION, KIND, PLURAL

Json = dict[str, Any]

_PLURALS: Final = (PLURAL, "jobs", "pytorchjobs", "pods")


class MiniApi:
    """The objects of every kind, by plural; made by `mini_api`.

    Attributes:
        url: for the client, without a slash at the end.
        tokens: that are accepted; empty: any, and none.
        absent: plurals of the kinds that are not installed.
        read: names of the runs that were read one by one, as a pass does.
        asked: path and Authorization of every request.
    """

    def __init__(self) -> None:
        self.url = ""
        self.tokens: set[str] = set()
        self.absent: set[str] = set()
        self.read: list[str] = []
        self.asked: list[tuple[str, str]] = []
        self._loop = asyncio.new_event_loop()
        self._versions = itertools.count(10)
        self._objects: dict[str, list[Json]] = {plural: [] for plural in _PLURALS}
        self._events: dict[str, list[Json]] = {plural: [] for plural in _PLURALS}
        self._changed = asyncio.Condition()

    def add_run(self, name: str, *, tell: bool = True) -> None:
        """A run that was created; `tell` the watches, or let only a list show it."""
        metadata = {"name": name, "namespace": "team", "uid": f"uid-{name}", "generation": 1}
        run = {"apiVersion": API_VERSION, "kind": KIND, "metadata": metadata, "spec": {}}
        asyncio.run_coroutine_threadsafe(self._add(PLURAL, run, tell), self._loop).result(10)

    async def _add(self, plural: str, made: Json, tell: bool) -> None:
        made["metadata"]["resourceVersion"] = str(next(self._versions))
        self._objects[plural].append(made)
        if tell:
            self._events[plural].append({"type": "ADDED", "object": made})
            async with self._changed:
                self._changed.notify_all()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        self.asked.append((request.path, token))
        if self.tokens and token not in self.tokens:
            return _refusal(401, "Unauthorized")
        *before, last = request.path.strip("/").split("/")
        plural = last if last in _PLURALS else before[-1] if before else ""
        if plural not in _PLURALS or plural in self.absent:
            return web.Response(text="404 page not found", status=404)
        if last != plural:
            self.read.append(last)
            return _refusal(404, f'{plural} "{last}" not found', name=last, kind=plural)
        if request.query.get("watch") == "true":
            return await self._watch(request, plural)
        meta = {"resourceVersion": str(next(self._versions))}
        return web.json_response({"kind": "List", "metadata": meta, "items": self._objects[plural]})

    async def _watch(self, request: web.Request, plural: str) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"Content-Type": "application/json"})
        await answer.prepare(request)
        since, told = int(request.query["resourceVersion"]), 0
        deadline = self._loop.time() + float(request.query["timeoutSeconds"])
        while (left := deadline - self._loop.time()) > 0 and plural not in self.absent:
            for event in self._events[plural][told:]:
                told += 1
                if int(event["object"]["metadata"]["resourceVersion"]) > since:
                    await answer.write(json.dumps(event).encode() + b"\n")
            try:
                async with asyncio.timeout(min(left, 0.5)), self._changed:
                    await self._changed.wait()
            except TimeoutError:
                pass
        return answer


def _refusal(code: int, message: str, **details: str) -> web.Response:
    body: Json = {"kind": "Status", "status": "Failure", "message": message, "code": code}
    if details:
        body |= {"reason": "NotFound", "details": details}
    return web.json_response(body, status=code)


@contextmanager
def mini_api() -> Iterator[MiniApi]:
    """Serve in a thread until the block ends."""
    api = MiniApi()
    loop = api._loop
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", api.handle)
    runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=0)

    async def start() -> None:
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        api.url = f"http://127.0.0.1:{runner.addresses[0][1]}"

    loop.run_until_complete(start())
    thread = threading.Thread(target=loop.run_forever, name="mini API")
    thread.start()
    try:
        yield api
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.run_until_complete(runner.cleanup())
        loop.close()
