"""A file server on this machine with faults: one per request as listed, then none."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Literal

from support.serving import serving

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
    "forbidden",  # 403
    "busy",  # 503 with Retry-After
    "too-long",  # a Content-Length of one byte more than there is
    "too-short",  # a Content-Length of one byte less, as many as are sent
    "wrong-total",  # another size of the file in Content-Range
    "multipart",  # the part as one of several, with its range inside
    "untagged",  # a part that does not say of which version it is
    "ignore-if-range",  # a part also of another version than the one asked for
]


@dataclass
class FaultyServer:
    """What it serves, how it will fail, and what it was asked.

    Attributes:
        url: Of the folder, without a slash at the end.
        faults: Used up one per request; afterwards all is well.
        etag: Of every file; change it to have changed files.
        last_modified: Of every file, as it stands in the header; not sent where it is None.
        accept_ranges: Whether answers say that there are parts.
        ranges: Range header of every request, None for the whole file.
        if_ranges: If-Range header of every request.
        cuts: Bytes of a file before which a connection is closed, each once.
        asked: How many bytes of each file were asked for in parts that it gave, by its path.
        sent: How many bytes of each file were sent, by its path and the answers' status.
        before: Called with the number of each request, from 1.
        most: How many requests for a part it answers at once; another is refused by a 503.
        most_at_once: How many there were.
        bytes_per_second: Of each connection; None: as fast as it goes.
        step_bytes: How many are sent at once where the rate is bounded; None: of 50 ms.
    """

    url: str = ""
    faults: list[Fault] = field(default_factory=list)
    etag: str | None = '"one"'
    last_modified: str | None = None
    accept_ranges: bool = True
    ranges: list[str | None] = field(default_factory=list)
    if_ranges: list[str | None] = field(default_factory=list)
    closing: threading.Event = field(default_factory=threading.Event)
    bytes_per_second: float | None = None
    step_bytes: int | None = None
    cuts: list[int] = field(default_factory=list)
    asked: Counter[str] = field(default_factory=Counter)
    sent: Counter[tuple[str, int]] = field(default_factory=Counter)
    before: Callable[[int], None] = lambda _: None
    most: int | None = None
    most_at_once: int = 0
    at_once: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)


@contextmanager
def serve(folder: Path, address: str = "127.0.0.1") -> Iterator[FaultyServer]:
    """Serve a folder on a free port of this machine's address until the block ends."""
    state = FaultyServer()

    class Handler(_Handler):
        root = folder
        server_state = state

    server = ThreadingHTTPServer((address, 0), Handler)
    state.url = f"http://{address}:{server.server_port}"
    with serving(server):
        try:
            yield state
        finally:
            state.closing.set()


@contextmanager
def serve_files(folder: Path, **contents: bytes) -> Iterator[FaultyServer]:
    """Write files of these names into a new folder, and serve it until the block ends."""
    folder.mkdir()
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    with serve(folder) as running:
        yield running


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    root: Path
    server_state: FaultyServer

    def do_GET(self) -> None:
        state = self.server_state
        if self.headers.get("Range") is None:
            self._get(state)
            return
        with state.lock:
            state.at_once += 1
            state.most_at_once = max(state.most_at_once, state.at_once)
            if state.most is not None and state.at_once > state.most:
                state.faults.insert(0, "busy")
        try:
            self._get(state)
        finally:
            with state.lock:
                state.at_once -= 1

    def _get(self, state: FaultyServer) -> None:
        with state.lock:
            state.ranges.append(self.headers.get("Range"))
            state.if_ranges.append(self.headers.get("If-Range"))
            state.before(len(state.ranges))
            fault = state.faults.pop(0) if state.faults else None
        path = self.root / self._path
        if fault in {"too-many", "busy"}:
            self._answer(429 if fault == "too-many" else 503, b"", {"Retry-After": "0"})
        elif fault == "forbidden":
            self._answer(403, b"")
        elif fault == "error":
            self._answer(500, b"")
        elif fault == "html":
            self._answer(200, b"<!doctype html><title>File</title>", {"Content-Type": "text/html"})
        elif fault == "redirect":
            self._answer(302, b"", {"Location": self.path})
        elif fault == "gone" or not path.is_file():
            self._answer(404, b"")
        else:
            self._send(path, fault)

    @property
    def _path(self) -> str:
        return self.path.partition("?")[0].lstrip("/")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as inherited
        """Be quiet."""

    def _send(self, path: Path, fault: Fault | None) -> None:
        state = self.server_state
        etag = None if fault == "untagged" else state.etag
        sent = {"ETag": etag, "Last-Modified": state.last_modified}
        headers = {name: value for name, value in sent.items() if value is not None}
        if state.accept_ranges:
            headers["Accept-Ranges"] = "bytes"
        size = path.stat().st_size
        start, end = self._span(size, fault)
        if start >= size > 0:
            self._answer(416, b"", {"Content-Range": f"bytes */{size}"})
            return
        with path.open("rb") as file:
            file.seek(start)
            status, body = 200, file.read(max(0, end - start))
        if self._gives_part(fault):
            status = 206
            with state.lock:
                state.asked[self._path] += end - start
            total = size + (fault == "wrong-total")
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{total}"
        if fault == "multipart":
            body = f"--x\r\nContent-Range: {headers.pop('Content-Range')}\r\n\r\n".encode() + body
            headers["Content-Type"] = "multipart/byteranges; boundary=x"
        if fault in {"reset", "slow"}:
            self._answer(status, body, headers, send=len(body) // 2)
            if fault == "slow":
                state.closing.wait()
            self.close_connection = True
        elif fault == "too-long":
            self._answer(status, body, {**headers, "Content-Length": f"{len(body) + 1}"})
            self.close_connection = True
        else:
            body = body[:-1] if fault == "too-short" else body
            self._answer(status, body, headers, send=self._until_cut(start, end))

    def _until_cut(self, start: int, end: int) -> int | None:
        """How many bytes are sent before the connection is closed; None: all of them."""
        state = self.server_state
        with state.lock:
            for cut in state.cuts:
                if start <= cut < end:
                    state.cuts.remove(cut)
                    self.close_connection = True
                    return cut - start
        return None

    def _gives_part(self, fault: Fault | None) -> bool:
        if self.headers.get("Range") is None or fault == "ignore-range":
            return False
        asked_if = self.headers.get("If-Range")
        state = self.server_state
        is_same = asked_if in {None, state.etag, state.last_modified}
        is_weak = f"{asked_if}".startswith("W/")  # RFC 9110: it never matches
        return fault == "ignore-if-range" or (is_same and not is_weak)

    def _span(self, size: int, fault: Fault | None) -> tuple[int, int]:
        """Which bytes are sent."""
        if not self._gives_part(fault):
            return 0, size
        start, _, last = self.headers["Range"].removeprefix("bytes=").partition("-")
        end = min(int(last) + 1, size) if last else size
        return int(start) + (fault == "wrong-range"), end

    def _answer(
        self,
        status: int,
        body: bytes,
        headers: dict[str, str] | None = None,
        send: int | None = None,
    ) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": f"{len(body)}", **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self._write(body if send is None else body[:send], status)

    def _write(self, body: bytes, status: int) -> None:
        state = self.server_state
        rate = state.bytes_per_second
        step = len(body) or 1 if rate is None else state.step_bytes or max(1, int(rate / 20))
        try:
            for start in range(0, len(body), step):
                part = body[start : start + step]
                self.wfile.write(part)
                with state.lock:
                    state.sent[self._path, status] += len(part)
                if rate is not None:
                    time.sleep(step / rate)
        except OSError:  # the client was killed, or has heard enough
            self.close_connection = True
