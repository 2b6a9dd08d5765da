"""Servers that send too much, too slowly or for ever; each download ends with one sentence."""

import socket
import threading
import time
from copy import copy
from dataclasses import replace
from pathlib import Path

import pytest

from qinstruct_trainer.contract.config import Source
from qinstruct_trainer.contract.errors import DataError, RunError, UnavailableError
from qinstruct_trainer.prep.progress import Progress
from qinstruct_trainer.prep.sources.http import Retry, fetch
from qinstruct_trainer.prep.sources.limits import Limits
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
    ],
)
def test_a_server_may_ask_for_any_time(value: str, tmp_path: Path) -> None:
    def talk(peer: socket.socket, _: threading.Event) -> None:
        asked = f"Retry-After: {value}\r\n".encode()
        peer.sendall(b"HTTP/1.1 503 Busy\r\n" + asked + b"Content-Length: 0\r\n\r\n")

    error = attack(talk, tmp_path, PATIENT)
    assert "503 Service Unavailable (3 attempts)" in str(error)
