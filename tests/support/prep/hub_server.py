"""A hub on loopback that answers huggingface_hub's downloads, and requests for single files."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha1
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from support.serving import serving

COMMIT = "a" * 40


@dataclass
class Hub:
    """One repository and how the hub behaves.

    Attributes:
        sizes: What it says of files, where that is not true.
        answer: Answers the GET of a file in its place.
        requested: The files that were read.
        token: Without it nothing is given; None: all is.
        asked: Path and Authorization header of every request.
    """

    repository: str
    files: dict[str, bytes]
    refuse: tuple[int, str] | None = None
    lost: set[str] = field(default_factory=set)
    sizes: dict[str, int] = field(default_factory=dict)
    answer: Callable[[BaseHTTPRequestHandler], None] | None = None
    requested: list[str] = field(default_factory=list)
    token: str | None = None
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    url: str = ""


class _Handler(BaseHTTPRequestHandler):
    hub: Hub

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, *, body: bool) -> None:
        hub = self.hub
        api = f"/api/models/{hub.repository}"
        path = self.path.partition("?")[0]
        hub.asked.append((path, self.headers.get("Authorization")))
        refuse = hub.refuse
        if hub.token and self.headers.get("Authorization") != f"Bearer {hub.token}":
            refuse = (401, "RepoNotFound")  # as the public one, also where there is no such file
        if refuse is not None:
            status, code = refuse
            self._send(status, b"{}", {"X-Error-Code": code}, body=body)
        elif path == f"{api}/revision/main":
            document = {"id": hub.repository, "sha": COMMIT, "siblings": []}
            self._send(200, json.dumps(document).encode(), {}, body=body)
        elif path.startswith(f"{api}/revision/"):
            self._send(404, b"{}", {"X-Error-Code": "RevisionNotFound"}, body=body)
        elif path.startswith(f"{api}/tree/"):
            tree = [
                {
                    "type": "file",
                    "path": name,
                    "size": hub.sizes.get(name, len(content)),
                    "oid": _etag(content),
                }
                for name, content in hub.files.items()
            ]
            self._send(200, json.dumps(tree).encode(), {}, body=body)
        else:
            self._send_file(path.rpartition("/")[2], body=body)

    def _send_file(self, name: str, *, body: bool) -> None:
        content = self.hub.files.get(name)
        if content is None or name in self.hub.lost:
            self._send(404, b"", {"X-Error-Code": "EntryNotFound"}, body=body)
            return
        if body:
            self.hub.requested.append(name)
        if body and self.hub.answer is not None:
            self.hub.answer(self)
            return
        headers = {"ETag": f'"{_etag(content)}"', "X-Repo-Commit": COMMIT}
        if name in self.hub.sizes:
            headers["Content-Length"] = str(self.hub.sizes[name])
        self._send(200, content, headers, body=body)

    def _send(self, status: int, content: bytes, headers: dict[str, str], *, body: bool) -> None:
        self.send_response(status)
        for key, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(key, value)
        self.end_headers()
        if body:
            self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        """Stay quiet."""


def _etag(content: bytes) -> str:
    return sha1(content).hexdigest()


@contextmanager
def serve(hub: Hub) -> Iterator[Hub]:
    """The hub at `hub.url` until the block ends."""
    handler = type("Handler", (_Handler,), {"hub": hub})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    hub.url = f"http://127.0.0.1:{server.server_port}"
    with serving(server):
        yield hub
