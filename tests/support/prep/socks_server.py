"""A SOCKS5 proxy on loopback (RFC 1928, CONNECT without a login), which notes where it leads."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from socketserver import StreamRequestHandler, ThreadingTCPServer
from typing import Final

from support.serving import serving

_HOST_LENGTHS: Final = {1: 4, 4: 16}  # IPv4, IPv6


class _Handler(StreamRequestHandler):
    asked: list[str]

    def handle(self) -> None:
        _, num_methods = self.rfile.read(2)
        self.rfile.read(num_methods)
        self.wfile.write(b"\5\0")
        *_, kind = self.rfile.read(4)
        raw = self.rfile.read(_HOST_LENGTHS.get(kind) or self.rfile.read(1)[0])
        host = raw.decode() if kind == 3 else str(socket.inet_ntop(socket.AF_INET, raw))
        port = int.from_bytes(self.rfile.read(2))
        self.asked.append(f"{host}:{port}")
        try:
            server = socket.create_connection((host, port))
        except OSError:
            self.wfile.write(b"\5\4\0\1" + bytes(6))
            return
        with server:
            self.wfile.write(b"\5\0\0\1" + bytes(6))
            back = threading.Thread(target=_pass_on, args=(server, self.connection), daemon=True)
            back.start()
            _pass_on(self.connection, server)
            back.join()


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while chunk := source.recv(65536):
            target.sendall(chunk)
        target.shutdown(socket.SHUT_WR)


@contextmanager
def serve() -> Iterator[tuple[str, list[str]]]:
    """The proxy's URL, and the servers that it was asked for so far."""
    asked: list[str] = []

    class Handler(_Handler):
        pass

    Handler.asked = asked
    server = ThreadingTCPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    with serving(server):
        yield f"socks5://127.0.0.1:{server.server_address[1]}", asked
