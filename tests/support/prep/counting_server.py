"""A server of one folder that counts the bytes it sends, and stops at given bytes of one file."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from support.serving import serving

_PIECE = 16 << 10
SECONDS = 120  # until a hanging test fails; no test that passes waits for it


@dataclass
class Counting:
    """What was asked for, and where to stop.

    Attributes:
        stops: Numbers of bytes of the file, ascending; before each it waits, once.
        num_sent: Bytes of the file that were sent, all requests together.
        num_requests: For the file.
        client_is_gone: Whether whoever is stopped was killed.
    """

    file: str
    stops: list[int]
    url: str = ""
    num_sent: int = 0
    num_requests: int = 0
    stopped_at: int = 0
    client_is_gone: bool = False
    stopped: threading.Event = field(default_factory=threading.Event)
    go_on: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def wait_for_stop(self) -> int:
        """The number of bytes before the next stop, when it is reached; those may be under way."""
        assert self.stopped.wait(SECONDS)
        self.stopped.clear()
        return self.stopped_at

    def wait_at(self, at: int) -> None:
        """In the server: stay here until the test goes on."""
        if self.stops and at >= self.stops[0]:
            self.stops.pop(0)
            self.stopped_at = at
            self.stopped.set()
            assert self.go_on.wait(SECONDS)
            self.go_on.clear()
            if self.client_is_gone:  # the system would still take megabytes for it
                raise ConnectionResetError


@contextmanager
def count(folder: Path, file: str, stops: Sequence[int] = ()) -> Iterator[Counting]:
    """Serve a folder until the block ends."""
    counting = Counting(file, list(stops))

    class Handler(_Handler):
        root = folder
        state = counting

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    counting.url = f"http://127.0.0.1:{server.server_port}"
    with serving(server):
        try:
            yield counting
        finally:
            counting.stops.clear()
            counting.go_on.set()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    root: Path
    state: Counting

    def handle(self) -> None:
        with suppress(OSError):  # the client was killed
            super().handle()

    def do_GET(self) -> None:
        name = self.path.lstrip("/")
        content = (self.root / name).read_bytes()
        asked = self.headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")
        start, end = int(asked[0]), int(asked[2] or len(content) - 1) + 1
        self.send_response(206 if "Range" in self.headers else 200)
        self.send_header("ETag", '"one"')
        self.send_header("Content-Length", str(end - start))
        self.send_header("Content-Range", f"bytes {start}-{end - 1}/{len(content)}")
        self.end_headers()
        is_counted = name == self.state.file
        with self.state.lock:
            self.state.num_requests += is_counted
        for at in range(start, end, _PIECE):
            piece = content[at : min(at + _PIECE, end)]
            if is_counted:
                self.state.wait_at(at)
                with self.state.lock:
                    self.state.num_sent += len(piece)
            self.wfile.write(piece)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as inherited
        """Be quiet."""
