"""Servers that send too much, too slowly or for ever; each download ends with one sentence."""

import gzip
import socket
import threading
import time
from copy import copy
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from qinstruct_trainer.contract.config import Source
from qinstruct_trainer.contract.errors import DataError, RunError, UnavailableError
from qinstruct_trainer.prep.progress import Progress
from qinstruct_trainer.prep.sources.connection import open_client
from qinstruct_trainer.prep.sources.http import fetch
from qinstruct_trainer.prep.sources.limits import Limits, Watch
from qinstruct_trainer.prep.sources.retry import Retry
from support.prep.raw_server import Talk, serve

MOST = 100_000
QUICK = Retry(attempts=3, first_seconds=0.01, max_seconds=0.05)
HASTY = Limits(max_bytes=MOST, min_bytes_per_second=10_000, window_seconds=0.5, total_seconds=20.0)
PATIENT = replace(HASTY, window_seconds=20.0)  # where the rate is not the matter: a busy machine
SHORT = Limits(max_bytes=MOST, min_bytes_per_second=0.001, window_seconds=60.0, total_seconds=1.0)
OK = b"HTTP/1.1 200 OK\r\n"
TAGGED = b'ETag: "one"\r\n'


def attack(talk: Talk, folder: Path, limits: Limits) -> RunError:
    """What a fetch of this server says."""
    progress = Progress(lambda _: None, "fetch", "labels", "bytes")
    with serve(copy(talk)) as url:  # one that counts begins anew in each test
        source = Source(name="labels", kind="labels", url=f"{url}/file")
        with pytest.raises(RunError) as caught:
            fetch(source, folder / "part", progress, QUICK, limits)
    assert "\n" not in str(caught.value)
    assert f"{url}/file" in str(caught.value)
    return caught.value


def large_by_its_header(peer: socket.socket, _: threading.Event) -> None:
    peer.sendall(OK + TAGGED + b"Content-Length: 300000\r\n\r\n" + bytes(300_000))


def large_without_a_length(peer: socket.socket, closing: threading.Event) -> None:
    peer.sendall(OK + TAGGED + b"\r\n")
    while not closing.is_set():
        peer.sendall(bytes(10_000))


def large_in_chunks(peer: socket.socket, closing: threading.Event) -> None:
    peer.sendall(OK + TAGGED + b"Transfer-Encoding: chunked\r\n\r\n")
    while not closing.is_set():
        peer.sendall(b"2710\r\n" + bytes(10_000) + b"\r\n")


class LargeByParts:
    """Each answer is a part that is small enough, and the parts have no end."""

    def __init__(self) -> None:
        self.sent = 0

    def __call__(self, peer: socket.socket, _: threading.Event) -> None:
        head = OK
        if self.sent:
            span = f"bytes {self.sent}-{self.sent + 39_999}/*"
            head = f"HTTP/1.1 206 Partial\r\nContent-Range: {span}\r\n".encode()
        peer.sendall(head + TAGGED + b"Transfer-Encoding: chunked\r\n\r\n")
        peer.sendall(b"9c40\r\n" + bytes(40_000) + b"\r\n")
        self.sent += 40_000


@pytest.mark.parametrize(
    "talk", [large_by_its_header, large_without_a_length, large_in_chunks, LargeByParts()]
)
def test_more_than_the_source_may_have_is_refused_and_forgotten(talk: Talk, tmp_path: Path) -> None:
    error = attack(talk, tmp_path, PATIENT)
    assert isinstance(error, DataError)  # final: the next attempt would take as much
    assert "has more than 100,000 bytes" in str(error)
    assert "data.sources.labels.maxBytes" in str(error)
    assert list(tmp_path.iterdir()) == []


class AByteMoreAnAttempt:
    """Each attempt comes one byte further, as one that is resumed does."""

    def __init__(self) -> None:
        self.sent = 0

    def __call__(self, peer: socket.socket, _: threading.Event) -> None:
        head = OK
        if self.sent:
            span = f"bytes {self.sent}-49999/50000"
            head = f"HTTP/1.1 206 Partial\r\nContent-Range: {span}\r\n".encode()
        length = f"Content-Length: {50_000 - self.sent}\r\n\r\n".encode()
        peer.sendall(head + TAGGED + length + b"x")
        self.sent += 1


def a_body_by_drops(peer: socket.socket, closing: threading.Event) -> None:
    peer.sendall(OK + b"Content-Length: 50000\r\n\r\n")
    while not closing.wait(0.05):
        peer.sendall(b"x")


def headers_by_drops(peer: socket.socket, closing: threading.Event) -> None:
    peer.sendall(OK + b"X-Long: ")
    while not closing.wait(0.05):
        peer.sendall(b"x")


def informational_answers(peer: socket.socket, closing: threading.Event) -> None:
    while not closing.wait(0.05):
        peer.sendall(b"HTTP/1.1 103 Early Hints\r\n\r\n")


@pytest.mark.parametrize(
    "talk", [AByteMoreAnAttempt(), a_body_by_drops, headers_by_drops, informational_answers]
)
def test_a_trickle_is_not_waited_for(talk: Talk, tmp_path: Path) -> None:
    began = time.monotonic()
    error = attack(talk, tmp_path, HASTY)
    assert isinstance(error, UnavailableError)
    assert "which is less than 10,000 a second" in str(error)
    assert time.monotonic() - began < 5


def nothing_at_all(_: socket.socket, closing: threading.Event) -> None:
    closing.wait()


@pytest.mark.parametrize("talk", [AByteMoreAnAttempt(), a_body_by_drops, nothing_at_all])
def test_a_download_has_an_end(talk: Talk, tmp_path: Path) -> None:
    began = time.monotonic()
    error = attack(talk, tmp_path, SHORT)
    assert isinstance(error, UnavailableError)
    assert "it is not whole after 1 s" in str(error)
    assert time.monotonic() - began < 5


def redirects_with_an_endless_body(peer: socket.socket, closing: threading.Event) -> None:
    peer.sendall(b"HTTP/1.1 302 Found\r\nLocation: /other\r\n\r\n")
    while not closing.is_set():
        peer.sendall(bytes(10_000))


def test_what_stands_in_a_redirect_is_not_read(tmp_path: Path) -> None:
    error = attack(redirects_with_an_endless_body, tmp_path, PATIENT)
    assert "more than 20 redirects" in str(error)  # and not that too little came


@pytest.mark.parametrize(
    "value",
    [
        "Wed, 21 Oct 99999 07:28:00 GMT",
        "Wed, 21 Oct 9999 23:59:59 -2359",
        "9" * 6000,
        "Wed, 21 Oct 99999999999 07:28:00 GMT",
        "\u0669" * 20,
        "-1",
        "Wed, 21 Oct 2015 99:99:99 +9999999999",
        "1e999",
        "NaN",
        "-inf",
        "0x10",
        "1, 2",
        "1_000_000",
        " ",
        "Mon, 01 Jan 0001 00:00:00 -2359",
        "Fri, 31 Dec 9999 23:59:59 GMT",
    ],
)
def test_a_server_may_ask_for_any_time(value: str, tmp_path: Path) -> None:
    def talk(peer: socket.socket, _: threading.Event) -> None:
        asked = f"Retry-After: {value}\r\n".encode()
        peer.sendall(b"HTTP/1.1 503 Busy\r\n" + asked + b"Content-Length: 0\r\n\r\n")

    error = attack(talk, tmp_path, PATIENT)
    assert "503 Service Unavailable (3 attempts)" in str(error)


def redirect_to(place: bytes) -> Talk:
    def talk(peer: socket.socket, _: threading.Event) -> None:
        head = b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n"
        peer.sendall(head + b"Location: " + place + b"\r\n\r\n")

    return talk


@pytest.mark.parametrize("networks", [None, ("127.0.0.0/8",)], ids=["local", "cluster"])
@pytest.mark.parametrize(
    "place",
    [
        b"http://xn--/",
        b"http://xn--a.example/",
        b"http://" + b"a" * 300 + b".example/",
        b"http://a..example/",
        b"http://\xff\xfe/",
        "http://\u200d.example/".encode(),
        b"http://[::1/",
        b"http://127.0.0.1:99999/",
        b"http://127.0.0.1:-1/",
        b"http:///",
        b"http://%00/",
        b"file:///etc/passwd",
        b"gopher://127.0.0.1/",
        b"data:,x",
        b"javascript:alert(1)",
        b"/" + b"x" * 60_000,
    ],
    ids=lambda place: str(place[:20]) if place else "",
)
def test_no_redirect_ends_in_anything_but_a_sentence(
    place: bytes, networks: tuple[str, ...] | None, tmp_path: Path
) -> None:
    error = attack(redirect_to(place), tmp_path, replace(PATIENT, networks=networks))
    assert isinstance(error, UnavailableError)
    assert not any(word in str(error) for word in ("passwd", "alert", "xx"))


class Broken:
    """Breaks off after a byte, with a validator to ask for the rest by."""

    def __init__(self, header: bytes) -> None:
        self.header = header

    def __call__(self, peer: socket.socket, _: threading.Event) -> None:
        peer.sendall(OK + self.header + b"\r\nContent-Length: 50\r\n\r\n" + b"x")


@pytest.mark.parametrize(
    "header",
    [
        b'ETag: "\xe9"',
        b'ETag: "\xff\xfe"',
        'ETag: "\u2028"'.encode(),
        b'ETag: "' + b"x" * 60_000 + b'"',
        b"Last-Modified: \xe9",
        b'ETag: W/"\xe9"\r\nLast-Modified: ' + b"\xe9" * 2000,
    ],
    ids=lambda header: str(header[:20]),
)
def test_a_rest_is_asked_for_by_nothing_that_a_request_cannot_carry(
    header: bytes, tmp_path: Path
) -> None:
    for _ in range(2):  # the next run reads what this one has noted
        assert "(3 attempts)" in str(attack(Broken(header), tmp_path, PATIENT))


@pytest.mark.parametrize("notes", ["[" * 10**5, '{"url": "', "\x00", '{"validator": "\\ud800"}'])
def test_notes_that_another_run_has_planted_are_none(notes: str, tmp_path: Path) -> None:
    (tmp_path / "part").write_bytes(b"another file")
    (tmp_path / "part.json").write_text(notes)
    attack(Broken(b'ETag: "one"'), tmp_path, PATIENT)
    assert (tmp_path / "part").read_bytes() == b"x"


class FurtherEachTime:
    """Always another file, which breaks off a little later than the one before."""

    def __init__(self) -> None:
        self.sent = 0

    def __call__(self, peer: socket.socket, _: threading.Event) -> None:
        self.sent += 1
        peer.sendall(OK + f'ETag: "{self.sent}"\r\nContent-Length: 50000\r\n\r\n'.encode())
        peer.sendall(b"x" * self.sent)


def test_ever_new_files_have_an_end(tmp_path: Path) -> None:
    assert "it is not whole after 1 s" in str(attack(FurtherEachTime(), tmp_path, SHORT))


def test_one_byte_of_ever_new_files_is_no_progress(tmp_path: Path) -> None:
    def talk(peer: socket.socket, _: threading.Event) -> None:
        tag = f'ETag: "{time.monotonic_ns()}"\r\nContent-Length: 50000\r\n\r\n'
        peer.sendall(OK + tag.encode() + b"x")

    assert "(3 attempts)" in str(attack(talk, tmp_path, PATIENT))


def endless(head: bytes, part: bytes) -> Talk:
    def talk(peer: socket.socket, closing: threading.Event) -> None:
        peer.sendall(head)
        while not closing.is_set():
            peer.sendall(part)

    return talk


CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    "talk",
    [
        endless(CHUNKED + b"3\r\n[1]\r\n0\r\n", b"X: " + b"y" * 1000 + b"\r\n"),
        endless(CHUNKED + b"3;", b"y" * 1000),
        endless(CHUNKED, b"0" * 1000),
        endless(OK, b"X: " + b"y" * 1000 + b"\r\n"),
        endless(b"HTTP/1.1 ", b"2" * 1000),
        endless(OK + b"Content-Length: ", b"9" * 1000),
    ],
    ids=["trailers", "chunk extension", "chunk size", "headers", "status", "length"],
)
def test_what_stands_around_the_file_has_an_end(talk: Talk, tmp_path: Path) -> None:
    assert "around the file, as headers, is too long (2 attempts)" in str(
        attack(talk, tmp_path, PATIENT)
    )


@pytest.mark.parametrize("encoding", ["gzip", "gzip, gzip", "br", "deflate", "zstd"])
def test_nothing_is_unpacked_on_its_way(encoding: str, tmp_path: Path) -> None:
    """It would grow behind the bounds; an archive that its server calls packed stays one."""
    packed = gzip.compress(bytes(10**7))

    def talk(peer: socket.socket, _: threading.Event) -> None:
        length = f"Content-Encoding: {encoding}\r\nContent-Length: {len(packed)}\r\n\r\n"
        peer.sendall(OK + length.encode() + packed)

    with serve(talk) as url:
        source = Source(name="labels", kind="labels", url=f"{url}/file")
        progress = Progress(lambda _: None, "fetch", "labels", "bytes")
        path = fetch(source, tmp_path / "part", progress, QUICK, PATIENT)
    assert path.read_bytes() == packed


def redirects_with_cookies(peer: socket.socket, _: threading.Event) -> None:
    cookie = f"Set-Cookie: c{time.monotonic_ns()}={'y' * 1000}; Path=/\r\n".encode()
    peer.sendall(b"HTTP/1.1 302 Found\r\nLocation: /other\r\n" + cookie + b"\r\n")


def test_no_cookie_is_kept() -> None:
    watch = Watch(PATIENT)
    with serve(redirects_with_cookies) as url, open_client(watch, follow_redirects=True) as client:
        with pytest.raises(httpx.TooManyRedirects):
            client.get(f"{url}/file")
        assert not list(client.cookies.jar)
