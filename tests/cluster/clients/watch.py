"""A watch that records every change of some objects."""

import asyncio
import json
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final

import aiohttp

from cluster.harness.control_plane import ControlPlane
from cluster.harness.processes import wait_until

_CLOSING: Final = 0.1  # seconds for the event loop to close the sockets of aborted connections
_MAX_LINE: Final = 2**22


@dataclass(frozen=True)
class Change:
    """One change; what exists at the beginning comes as `ADDED`."""

    time: float
    type: str
    object: dict[str, Any]


@dataclass
class Watch:
    """What has changed so far; made by `open_watch`. Survives restarts of the server."""

    path: str
    changes: list[Change] = field(default_factory=list)
    _version: str = ""
    _is_open: threading.Event = field(default_factory=threading.Event)

    def of(self, name: str) -> list[dict[str, Any]]:
        """The states of one object, oldest first."""
        found = [change.object for change in list(self.changes)]
        return [one for one in found if one["metadata"]["name"] == name]

    def wait(self, holds: Callable[[list[Change]], bool], what: str, seconds: float = 60) -> None:
        """Return when something holds of the changes so far."""
        wait_until(lambda: holds(list(self.changes)), what, seconds)

    async def follow(self, control_plane: ControlPlane) -> None:
        """Record until cancelled."""
        tls = ssl.create_default_context(cafile=control_plane.ca)
        token = control_plane.tokens["admin"]
        connector = aiohttp.TCPConnector(ssl=tls)
        async with aiohttp.ClientSession(
            connector=connector,
            headers={"Authorization": f"Bearer {token}"},
            timeout=aiohttp.ClientTimeout(total=None),
            read_bufsize=_MAX_LINE,
        ) as session:
            try:
                while True:
                    try:
                        await self._follow_once(session, control_plane.url + self.path)
                    except aiohttp.ClientError as error:
                        if getattr(error, "status", None) == HTTPStatus.GONE:
                            self._version = ""
                        await asyncio.sleep(0.2)  # the server is away, by the will of a test
            finally:
                # An orderly end of TLS waits for the server, on a busy machine longer than we do.
                await connector.close(abort_ssl=True)

    async def _follow_once(self, session: aiohttp.ClientSession, url: str) -> None:
        asked = {"watch": "true", "allowWatchBookmarks": "true"}
        if self._version:
            asked["resourceVersion"] = self._version
        async with session.get(url, params=asked, raise_for_status=True) as answer:
            self._is_open.set()
            async for line in answer.content:
                event = json.loads(line)
                if event["type"] == "ERROR":
                    self._version = ""  # a server started again may know no history: begin anew
                    return
                self._version = event["object"]["metadata"]["resourceVersion"]
                if event["type"] != "BOOKMARK":
                    self.changes.append(Change(time.monotonic(), event["type"], event["object"]))


@contextmanager
def open_watch(control_plane: ControlPlane, path: str) -> Iterator[Watch]:
    """Record the changes below a path, e.g. `/apis/batch/v1/namespaces/a/jobs`, until the end."""
    watch = Watch(path)
    loop = asyncio.new_event_loop()
    task = loop.create_task(watch.follow(control_plane))
    task.add_done_callback(lambda _: loop.stop())
    thread = threading.Thread(target=loop.run_forever, name=f"watch {path}")
    thread.start()
    try:
        wait_until(lambda: watch._is_open.is_set() or task.done(), f"watch of {path} is open")
        yield watch
    finally:
        loop.call_soon_threadsafe(task.cancel)
        thread.join()
        loop.run_until_complete(asyncio.sleep(_CLOSING))
        loop.close()
        if not task.cancelled():
            task.result()  # a watch that ended by itself has recorded too little
