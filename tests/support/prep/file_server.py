"""A file server on loopback with faults: one per request as listed, then none."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Literal

Fault = Literal[
    "reset",  # close the connection in the middle of the body
    "too-many",  # 429 with Retry-After
    "error",  # 500
    "ignore-range",  # send the whole file although a part was asked for
    "wrong-range",  # send another part than the one asked for
    "html",  # an HTML page
    "redirect",  # 302 to the same file
    "gone",  # 404
    "slow",  # a little of the body, then nothing until the server closes
]


@dataclass
class FaultyServer:
    """What it serves, how it will fail, and what it was asked.

    Attributes:
        url: Of the folder, without a slash at the end.
        faults: Used up one per request; afterwards all is well.
        etag: Of every file; change it to have changed files.
        last_modified: Of every file, as it stands in the header; not sent where it is None.
        ranges: Range header of every request, None for the whole file.
        if_ranges: If-Range header of every request.
    """

    url: str = ""
    faults: list[Fault] = field(default_factory=list)
    etag: str | None = '"one"'
    last_modified: str | None = None
    ranges: list[str | None] = field(default_factory=list)
    if_ranges: list[str | None] = field(default_factory=list)
    closing: threading.Event = field(default_factory=threading.Event)
    bytes_per_second: float | None = None


@contextmanager
def serve(folder: Path) -> Iterator[FaultyServer]:
    """Serve a folder on a free port until the block ends."""
    state = FaultyServer()

    class Handler(_Handler):
        root = folder
        server_state = state

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield state
    finally:
        state.closing.set()
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    root: Path
    server_state: FaultyServer

    def do_GET(self) -> None:
        state = self.server_state
        state.ranges.append(self.headers.get("Range"))
        state.if_ranges.append(self.headers.get("If-Range"))
        fault = state.faults.pop(0) if state.faults else None
        path = self.root / self.path.partition("?")[0].lstrip("/")
        if fault == "too-many":
            self._answer(429, b"", {"Retry-After": "0"})
        elif fault == "error":
            self._answer(500, b"")
        elif fault == "html":
            self._answer(200, b"<!doctype html><title>File</title>", {"Content-Type": "text/html"})
        elif fault == "redirect":
            self._answer(302, b"", {"Location": self.path})
        elif fault == "gone" or not path.is_file():
            self._answer(404, b"")
        else:
            self._send(path.read_bytes(), fault)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as inherited
        """Be quiet."""

    def _send(self, content: bytes, fault: Fault | None) -> None:
        start = self._start(fault)
        sent = {"ETag": self.server_state.etag, "Last-Modified": self.server_state.last_modified}
        headers = {name: value for name, value in sent.items() if value is not None}
        status = 200
        if start is not None and start >= len(content):
            self._answer(416, b"", {"Content-Range": f"bytes */{len(content)}"})
            return
        if start is not None:
            status = 206
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        body = content[start or 0 :]
        if fault in {"reset", "slow"}:
            self._answer(status, body, headers, send=len(body) // 2)
            if fault == "slow":
                self.server_state.closing.wait()
            self.close_connection = True
        else:
            self._answer(status, body, headers)

    def _start(self, fault: Fault | None) -> int | None:
        """Where the asked-for range begins; None: send everything."""
        asked = self.headers.get("Range")
        if asked is None or fault == "ignore-range":
            return None
        asked_if = self.headers.get("If-Range")
        state = self.server_state
        if asked_if not in {None, state.etag, state.last_modified} or f"{asked_if}"[:2] == "W/":
            return None  # RFC 9110: a weak validator never matches
        start = int(asked.removeprefix("bytes=").partition("-")[0])
        return start + 1 if fault == "wrong-range" else start

    def _answer(
        self,
        status: int,
        body: bytes,
        headers: dict[str, str] | None = None,
        send: int | None = None,
    ) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self._write(body if send is None else body[:send])

    def _write(self, body: bytes) -> None:
        rate = self.server_state.bytes_per_second
        step = len(body) or 1 if rate is None else max(1, int(rate / 20))
        try:
            for start in range(0, len(body), step):
                self.wfile.write(body[start : start + step])
                if rate is not None:
                    time.sleep(step / rate)
        except OSError:  # the client was killed
            self.close_connection = True
