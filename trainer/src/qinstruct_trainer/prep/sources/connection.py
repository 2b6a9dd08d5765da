"""HTTP connections that are watched: each read of a socket keeps to the download's time.

Headers and redirects come through here too, so a server cannot hold a download by a byte a minute
of those.
"""

import os
import socket
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any
from urllib.parse import urlsplit
from weakref import WeakSet

import httpcore
import httpx
from socksio import SOCKSError

from qinstruct_trainer.contract.no_proxy import is_exempt
from qinstruct_trainer.environment import check_connection_settings
from qinstruct_trainer.prep.sources.addresses import checked_address
from qinstruct_trainer.prep.sources.bandwidth import throttle_of
from qinstruct_trainer.prep.sources.connection_faults import first_bytes_fault
from qinstruct_trainer.prep.sources.limits import Watch

_TIMEOUT = httpx.Timeout(60.0, connect=20.0)
_HEAD_BYTES = 5


def open_client(
    watch: Watch,
    networks: Sequence[str] | None = None,
    on_read: Callable[[int], None] | None = None,
    **options: Any,
) -> "Client":
    """A client whose connections are watched; proxies and bandwidth are the environment's.

    Every connection, also that of a redirect, goes to a public address or into `networks`; None
    allows all. Behind a proxy that is its own address: where it leads to is the proxy's affair. No
    cookie is kept: over many attempts they would have no end.

    Args:
        watch: Asked before each read.
        networks: Besides public addresses.
        on_read: Told how many bytes came, headers and encryption included.
        options: More of httpx.

    Raises:
        ConfigError: the environment names a proxy or certificates that cannot be.
    """
    check_connection_settings()
    throttle = throttle_of(os.environ)

    def note(num_bytes: int) -> None:
        if on_read is not None:
            on_read(num_bytes)
        if throttle is not None:
            throttle.spend(num_bytes)

    forgetful = CookieJar(DefaultCookiePolicy(allowed_domains=()))
    streams = _OpenStreams()
    transport = _Transport(lambda network: _Network(network, watch, networks, note, streams))
    options = {"timeout": _TIMEOUT, "cookies": forgetful, **options}
    return Client(streams, transport=transport, **options)


class Client(httpx.Client):
    """What `open_client` makes."""

    def __init__(self, streams: "_OpenStreams", **options: Any):
        super().__init__(**options)
        self._streams = streams

    def hang_up(self) -> None:
        """Break all connections, so that no thread waits for one any more."""
        self._streams.shut_down()


class _OpenStreams:
    def __init__(self) -> None:
        self._streams: WeakSet[httpcore.NetworkStream] = WeakSet()
        self._lock = threading.Lock()

    def add(self, stream: httpcore.NetworkStream) -> None:
        with self._lock:
            self._streams.add(stream)

    def shut_down(self) -> None:
        with self._lock:
            streams = list(self._streams)
        for stream in streams:
            with suppress(OSError):
                # Also of an encrypted one the socket itself: its own way takes it from its reader.
                socket.socket.shutdown(stream.get_extra_info("socket"), socket.SHUT_RDWR)


def proxy_for(server: str, env: Mapping[str, str] = os.environ) -> str | None:
    """The proxy that leads to a server's URL, by the environment; None: it is reached directly.

    `HTTPS_PROXY` or `HTTP_PROXY` by the server's scheme, else `ALL_PROXY`, unless `NO_PROXY`
    exempts it.
    """
    scheme = urlsplit(server).scheme
    names = [f"{scheme}_proxy", "all_proxy"]
    values = (env.get(name) or env.get(name.upper()) for name in names)
    proxy = next(filter(None, values), None)
    if proxy is None or is_exempt(server, env.get("no_proxy") or env.get("NO_PROXY") or ""):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


class _Transport(httpx.BaseTransport):
    """Sends each request directly or through its proxy, over connections that are watched."""

    def __init__(self, watched: Callable[[httpcore.NetworkBackend], httpcore.NetworkBackend]):
        self._watched = watched
        self._by_proxy: dict[str | None, httpx.HTTPTransport] = {}
        self._lock = threading.Lock()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        proxy = proxy_for(str(request.url))
        with self._lock:
            transport = self._by_proxy.get(proxy) or self._open(proxy)
        try:
            return transport.handle_request(request)
        # httpcore lets through what its SOCKS library makes of another server's answers.
        except (SOCKSError, AssertionError) as error:
            if proxy is None or not proxy.startswith("socks"):
                raise
            raise httpx.ProxyError("the proxy does not speak SOCKS5", request=request) from error

    def close(self) -> None:
        for transport in self._by_proxy.values():
            transport.close()

    def _open(self, proxy: str | None) -> httpx.HTTPTransport:
        transport = self._by_proxy[proxy] = httpx.HTTPTransport(proxy=proxy)
        # httpx has no public way to give a transport another network than its own.
        pool = transport._pool
        pool._network_backend = self._watched(pool._network_backend)
        return transport


class _Network(httpcore.NetworkBackend):
    def __init__(
        self,
        network: httpcore.NetworkBackend,
        watch: Watch,
        networks: Sequence[str] | None,
        on_read: Callable[[int], None],
        streams: _OpenStreams,
    ):
        self._network = network
        self._watch = watch
        self._networks = networks
        self._on_read = on_read
        self._streams = streams

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
            except OSError as error:
                raise httpcore.ConnectError(str(error)) from error
        stream = self._network.connect_tcp(host, port, timeout, local_address, socket_options)
        return _Stream(stream, self._watch, self._on_read, self._streams)


class _Stream(httpcore.NetworkStream):
    def __init__(
        self,
        stream: httpcore.NetworkStream,
        watch: Watch,
        on_read: Callable[[int], None],
        streams: _OpenStreams,
    ):
        self._stream = stream
        self._streams = streams
        streams.add(stream)
        self._watch = watch
        self._on_read = on_read
        self._is_wrapped = False
        self._head = b""  # of the answer to what was written last

    def __del__(self) -> None:
        if not self._is_wrapped:  # where a SOCKS proxy refuses, httpcore leaves it open
            self._stream.close()

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        self._watch.check()
        left = self._watch.seconds_left()
        content = self._stream.read(max_bytes, left if timeout is None else min(timeout, left))
        self._on_read(len(content))
        if len(self._head) < _HEAD_BYTES or not content:
            self._head = (self._head + content)[:_HEAD_BYTES]
            if fault := first_bytes_fault(self._head, is_end=not content):
                raise httpcore.RemoteProtocolError(fault)
        return content

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, timeout)
        self._head = b""

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: Any, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        stream = self._stream.start_tls(ssl_context, server_hostname, timeout)
        self._is_wrapped = True
        return _Stream(stream, self._watch, self._on_read, self._streams)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)
