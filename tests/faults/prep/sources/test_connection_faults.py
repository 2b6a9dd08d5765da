"""Servers that speak no HTTP, or break off: what does not heal is tried twice, and in words."""

import socket
import ssl
import threading
from pathlib import Path

import pytest

from qinstruct_trainer.contract.errors import UnavailableError
from qinstruct_trainer.prep.image_list import ListedImage
from qinstruct_trainer.prep.progress import Progress
from qinstruct_trainer.prep.sources.image_downloads import fetch_images
from qinstruct_trainer.prep.sources.retry import Retry
from support.prep.fetching import QUICK, fault_of
from support.prep.raw_server import Talk, serve

OK = b"HTTP/1.1 200 OK\r\n"
NO_HTTP = "what the server sends is no HTTP"
LASTING = {
    "TLS that hangs up": (b"\x15\x03\x01\x00\x02\x02\x46", "the server speaks TLS at a port"),
    "TLS that goes on": (b"\x16\x03\x01\x00\x02\x01\x00", "the server speaks TLS at a port"),
    "garbage": (b"hello there\r\n\r\n", NO_HTTP),
    "noise": (bytes(range(250, 256)) * 10, NO_HTTP),
    "HTTP/0.9": (b"<html>hello</html>", NO_HTTP),
    "HTTP/2's words": (b"HTTP/2 200\r\n\r\n", NO_HTTP),
    "HTTP/2's frames": (b"\x00\x00\x00\x04\x00\x00\x00\x00\x00", NO_HTTP),
    "SSH": (b"SSH-2.0-OpenSSH_9.2\r\n", NO_HTTP),
    "FTP": (b"220 ready\r\n", NO_HTTP),
    "a status in letters": (b"HTTP/1.1 abc\r\n\r\n", NO_HTTP),
    "a broken header": (OK + b"pay first\r\n\r\n", "a header of the server's answer is no HTTP"),
    "a zero byte": (OK + b"X: \0\r\n\r\n", "a header of the server's answer is no HTTP"),
    "large headers": (
        OK + b"X: " + b"x" * 200_000 + b"\r\n\r\n",
        "around the file, as headers, is too",
    ),
    "a length in letters": (OK + b"Content-Length: x\r\n\r\n", "a length that is no number"),
    "a length of 5,000 digits": (
        OK + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n",
        "a length that is no number",
    ),
    "two lengths": (OK + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n", "gives two lengths"),
    "a coding": (OK + b"Transfer-Encoding: gzip\r\n\r\n", "in a coding that nobody asked for"),
    "another protocol": (b"HTTP/1.1 101 Now\r\n\r\n", "changes to another protocol"),
    "a redirect to FTP": (
        b"HTTP/1.1 302 Found\r\nLocation: ftp://127.0.0.1/x\r\nContent-Length: 0\r\n\r\n",
        "begins with neither https:// nor http://",
    ),
}
HEALING = {
    "nothing": (b"", "the connection was closed before the answer had come"),
    "half a word": (b"HTT", "the connection was closed before the answer had come"),
    "half a header": (OK + b"Content-Le", "the connection was closed before the answer had come"),
    "half a body": (OK + b"Content-Length: 9\r\n\r\nab", "before all of the file had come"),
    "half a chunk": (OK + b"Transfer-Encoding: chunked\r\n\r\n9\r\nab", "before all of the file"),
    "a chunk without length": (
        OK + b"Transfer-Encoding: chunked\r\n\r\nab\n\r\n",
        "a part of the file came without its length",
    ),
}


def saying(answer: bytes) -> Talk:
    def talk(connection: socket.socket, _closing: threading.Event) -> None:
        connection.sendall(answer)
        connection.shutdown(socket.SHUT_WR)
        connection.recv(1)

    return talk


def check(error: UnavailableError, words: str, attempts: int) -> None:
    assert words in str(error)
    assert f"({attempts} attempts); " in str(error)
    assert "Error" not in str(error)


@pytest.mark.parametrize(("answer", "words"), LASTING.values(), ids=LASTING)
def test_what_does_not_heal_is_tried_twice(answer: bytes, words: str, tmp_path: Path) -> None:
    with serve(saying(answer)) as url:
        error = fault_of(f"{url}/file", tmp_path)
    assert isinstance(error, UnavailableError)
    check(error, words, 2)


@pytest.mark.parametrize(("answer", "words"), HEALING.values(), ids=HEALING)
def test_what_broke_off_is_tried_again(answer: bytes, words: str, tmp_path: Path) -> None:
    with serve(saying(answer)) as url:
        error = fault_of(f"{url}/file", tmp_path)
    assert isinstance(error, UnavailableError)
    check(error, words, QUICK.attempts)


def test_a_plain_server_at_an_address_of_tls(tmp_path: Path) -> None:
    with serve(saying(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as url:
        error = fault_of(f"{url}/file".replace("http:", "https:"), tmp_path)
    assert isinstance(error, UnavailableError)
    check(error, "does not speak TLS at this port", 2)


def test_a_server_of_tls_at_a_plain_address(tmp_path: Path) -> None:
    def talk(connection: socket.socket, _closing: threading.Event) -> None:
        # It has read the request already; a real one answers what is no hello as this one does.
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        incoming.write(b"GET /file HTTP/1.1\r\nHost: x\r\n\r\n")
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).wrap_bio(incoming, outgoing, server_side=True)
        with pytest.raises(ssl.SSLError):
            tls.do_handshake()
        connection.sendall(outgoing.read() or b"\x15\x03\x01\x00\x02\x02\x46")

    with serve(talk) as url:
        error = fault_of(f"{url}/file", tmp_path)
    assert isinstance(error, UnavailableError)
    check(error, "write https:// in its address", 2)


def test_a_spoiled_connection_is_no_word_of_its_server(tmp_path: Path) -> None:
    """More than was promised is read as the next answer, on the same connection only."""
    count = 0

    def talk(connection: socket.socket, _closing: threading.Event) -> None:
        nonlocal count
        count += 1
        connection.sendall(b"garbage\r\n\r\n" if count == 1 else OK + b"Content-Length: 0\r\n\r\n")

    with serve(talk) as url:
        folder = tmp_path / "images"
        progress = Progress(lambda _: None, "fetch", "images", "files")
        with pytest.raises(UnavailableError, match="what the server sends is no image"):
            fetch_images([ListedImage("a.jpg", f"{url}/a")], folder, "coco", progress, retry=QUICK)
    assert count == 2


def test_an_image_of_a_server_that_speaks_no_http_is_dead(tmp_path: Path) -> None:
    progress = Progress(lambda _: None, "fetch", "images", "files")
    images = [ListedImage("a.jpg", "")]
    with serve(saying(b"SSH-2.0\r\n")) as url:
        images = [ListedImage("a.jpg", f"{url}/a")]
        with pytest.raises(UnavailableError, match=NO_HTTP):
            fetch_images(images, tmp_path / "x", "coco", progress, retry=Retry(9, 0.01, 0.01))


@pytest.mark.parametrize("answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"SSH-2.0\r\n"])
def test_an_image_of_which_no_tls_came_about_is_not_called_dead(
    answer: bytes, tmp_path: Path
) -> None:
    """A proxy, a list of authorities or a clock of ours may be wrong, and dead images stay dead."""
    progress = Progress(lambda _: None, "fetch", "images", "files")
    with serve(saying(answer)) as url:
        images = [ListedImage("a.jpg", f"{url}/a".replace("http:", "https:"))]
        said = r"1 of 1 images cannot be reached now, first from .* \(2 attempts\); run again"
        with pytest.raises(UnavailableError, match=said):
            fetch_images(images, tmp_path / "x", "coco", progress, retry=Retry(9, 0.01, 0.01))
