"""Sources that lead into a cluster: straight, by a redirect, by a name, by a name that changes."""

import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from qinstruct_trainer.contract.config import Source
from qinstruct_trainer.contract.errors import ConfigError, RunError
from qinstruct_trainer.prep.progress import Progress
from qinstruct_trainer.prep.sources.addresses import ForbiddenAddressError, checked_address
from qinstruct_trainer.prep.sources.http import fetch
from qinstruct_trainer.prep.sources.limits import Limits
from qinstruct_trainer.prep.sources.retry import Retry
from support.prep.raw_server import serve

PUBLIC = "93.184.215.14"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n[1, 2]"


def names(monkeypatch: pytest.MonkeyPatch, table: dict[str, list[str]]) -> list[str]:
    """Let these names have these addresses, the last for ever; returns what was asked."""
    asked: list[str] = []
    real = socket.getaddrinfo

    def look_up(host: Any, port: Any, *args: Any, **options: Any) -> Any:
        if host not in table:
            return real(host, port, *args, **options)
        asked.append(host)
        addresses = table[host]
        address = addresses.pop(0) if len(addresses) > 1 else addresses[0]
        return [entry for each in address.split() for entry in real(each, port, *args, **options)]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return asked


def get(url: str, folder: Path, networks: tuple[str, ...] | None = ()) -> bytes:
    source = Source(name="labels", kind="labels", url=url)
    progress = Progress(lambda _: None, "fetch", "labels", "bytes")
    quick = Retry(attempts=2, first_seconds=0.01, max_seconds=0.02)
    return fetch(source, folder / "part", progress, quick, Limits(networks=networks)).read_bytes()


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "2130706433",
        "0x7f.1",
        "0.0.0.0",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[64:ff9b:1::7f00:1]",
        "[2002:7f00:1::]",
        "[2001:0:7f00:1::80ff:fffe]",
        "[::127.0.0.1]",
        "[::ffff:0:127.0.0.1]",
        "[fec0::1]",
        "[3fff::1]",
        "[4000::1]",
        "168.63.129.16",
        "192.0.0.192",
        "192.88.99.1",
        "[fe80::1]",
        "[fd00::1]",
        "169.254.169.254",
        "10.96.0.1",
        "192.168.1.1",
        "172.16.0.1",
        "100.64.0.1",
        "224.0.0.1",
        "255.255.255.255",
    ],
)
def test_an_address_of_the_cluster_is_not_asked(host: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="which is no public address") as caught:
        get(f"http://{host}:10250/pods", tmp_path)
    assert "\n" not in str(caught.value)
    assert "QINSTRUCT_PRIVATE_NETWORKS" in str(caught.value)


def test_a_redirect_into_the_cluster_is_not_followed(tmp_path: Path) -> None:
    asked: list[str] = []

    def inner(peer: socket.socket, _: threading.Event) -> None:
        asked.append("inner")
        peer.sendall(ANSWER)

    with serve(inner) as inside:
        place = inside.replace("127.0.0.1", "127.0.0.2")

        def outer(peer: socket.socket, _: threading.Event) -> None:
            peer.sendall(f"HTTP/1.1 302 Go\r\nLocation: {place}/pods\r\n\r\n".encode())

        with serve(outer) as outside, pytest.raises(ConfigError, match=r"leads to 127\.0\.0\.2"):
            get(f"{outside}/file", tmp_path, ("127.0.0.1/32",))
    assert asked == []


@pytest.mark.parametrize("addresses", ["127.0.0.1", f"{PUBLIC} 10.96.0.1", f"{PUBLIC} ::1"])
def test_each_address_of_a_name_is_checked(addresses: str, monkeypatch: pytest.MonkeyPatch) -> None:
    names(monkeypatch, {"mirror.example": [addresses]})
    with pytest.raises(ForbiddenAddressError):
        checked_address("mirror.example", 80, ())


def test_a_name_that_changes_after_the_check_changes_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def talk(peer: socket.socket, _: threading.Event) -> None:
        peer.sendall(ANSWER)

    with serve(talk) as url:
        asked = names(monkeypatch, {"mirror.example": ["127.0.0.1", "169.254.169.254"]})
        address = url.replace("127.0.0.1", "mirror.example")
        assert get(f"{address}/file", tmp_path, ("127.0.0.0/8",)) == b"[1, 2]"
    assert asked == ["mirror.example"]


def test_a_mirror_of_ones_own_is_allowed_and_locally_all(tmp_path: Path) -> None:
    def talk(peer: socket.socket, _: threading.Event) -> None:
        peer.sendall(ANSWER)

    with serve(talk) as url:
        for number, networks in enumerate([("10.0.0.0/8", "127.0.0.1/32"), None]):
            folder = tmp_path / str(number)
            assert get(f"{url}/file", folder, networks) == b"[1, 2]"


def test_words_of_a_server_are_not_repeated(tmp_path: Path) -> None:
    def talk(peer: socket.socket, _: threading.Event) -> None:
        peer.sendall(b"HTTP/1.1 404 run kubectl delete now\r\nContent-Length: 0\r\n\r\n")

    with serve(talk) as url, pytest.raises(RunError, match="404 Not Found") as caught:
        get(f"{url}/file", tmp_path, None)
    assert "kubectl" not in str(caught.value)


@pytest.fixture
def proxied(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[bytes]]:
    """What a proxy, that the environment names, is asked for."""
    asked: list[bytes] = []

    def talk(peer: socket.socket, _: threading.Event) -> None:
        asked.append(b"")
        peer.sendall(ANSWER)

    with serve(talk) as url:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
            monkeypatch.setenv(name, url)
        for name in ("no_proxy", "NO_PROXY"):
            monkeypatch.delenv(name, raising=False)
        yield asked


@pytest.mark.parametrize("networks", [(), ("10.0.0.0/8",)])
def test_a_proxy_of_no_allowed_network_is_not_asked(
    networks: tuple[str, ...], proxied: list[bytes], tmp_path: Path
) -> None:
    """Whatever the source's own address is: the connection goes to the proxy."""
    with pytest.raises(ConfigError, match=r"127\.0\.0\.1, which is no public address"):
        get(f"http://{PUBLIC}/file", tmp_path, networks)
    assert proxied == []


def test_a_proxy_of_an_allowed_network_is_asked(proxied: list[bytes], tmp_path: Path) -> None:
    assert get(f"http://{PUBLIC}/file", tmp_path, ("127.0.0.0/8",)) == b"[1, 2]"
    assert len(proxied) == 1


@pytest.mark.parametrize("no_proxy", ["127.0.0.0/8", "x, 127.0.0.1", "*"])
def test_what_no_proxy_exempts_is_reached_itself(
    no_proxy: str, proxied: list[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", no_proxy)
    with serve(lambda peer, _: peer.sendall(ANSWER)) as url:
        assert get(f"{url}/file", tmp_path, None) == b"[1, 2]"
    assert proxied == []


@pytest.mark.parametrize(
    "proxy", ["http://127.0.0.1:1", "socks5://10.0.0.1:1080", "ftp://127.0.0.1", "x"]
)
def test_a_proxy_that_is_none_is_a_sentence(
    proxy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, proxy)
    with pytest.raises(RunError) as refused:
        get(f"http://{PUBLIC}/file", tmp_path, ("127.0.0.0/8",))
    assert "\n" not in str(refused.value)
