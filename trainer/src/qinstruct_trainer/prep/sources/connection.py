"""HTTP connections that are watched: each read of a socket keeps to the download's time.

Headers and redirects come through here too, so a server cannot hold a download by a byte a minute
of those.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import httpcore
import httpx

from qinstruct_trainer.prep.sources.addresses import checked_address
from qinstruct_trainer.prep.sources.limits import Watch

_TIMEOUT = httpx.Timeout(60.0, connect=20.0)


def open_client(watch: Watch, networks: Sequence[str] | None = None) -> httpx.Client:
    """A client whose connections are watched; the proxies of the environment are used.

    Every connection, also that of a redirect, goes to a public address or into `networks`; None
    allows all. Behind a proxy that is its own address: where it leads to is the proxy's affair.
    """
    client = httpx.Client(timeout=_TIMEOUT)
    # httpx has no public way to give a transport another network than its own.
    for transport in (client._transport, *client._mounts.values()):
        if isinstance(transport, httpx.HTTPTransport):
            pool = transport._pool
            pool._network_backend = _Network(pool._network_backend, watch, networks)
    return client


class _Network(httpcore.NetworkBackend):
    def __init__(
        self, network: httpcore.NetworkBackend, watch: Watch, networks: Sequence[str] | None
    ):
        self._network = network
        self._watch = watch
        self._networks = networks

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        if self._networks is not None:
            try:
                host = checked_address(host, port, self._networks)
            except (OSError, UnicodeError) as error:
                raise httpcore.ConnectError(str(error)) from error
        stream = self._network.connect_tcp(host, port, timeout, local_address, socket_options)
        return _Stream(stream, self._watch)


class _Stream(httpcore.NetworkStream):
    def __init__(self, stream: httpcore.NetworkStream, watch: Watch):
        self._stream = stream
        self._watch = watch

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        self._watch.check()
        left = self._watch.seconds_left()
        return self._stream.read(max_bytes, left if timeout is None else min(timeout, left))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, timeout)

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: Any, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        return _Stream(self._stream.start_tls(ssl_context, server_hostname, timeout), self._watch)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)
