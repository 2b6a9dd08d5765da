"""What a server says is told to nobody: its words could be any text."""

import socket
import threading
from pathlib import Path

import pytest

from qinstruct_trainer.contract.config import Source
from qinstruct_trainer.contract.errors import UnavailableError
from qinstruct_trainer.prep.progress import Progress
from qinstruct_trainer.prep.sources.http import fetch
from qinstruct_trainer.prep.sources.retry import Retry
from support.prep.raw_server import Talk, serve

WORDS = b"pay first"
ANSWERS = {
    "its protocol": WORDS + b" 200 OK\r\n\r\n",
    "its status": b"HTTP/1.1 pay first\r\n\r\n",
    "its phrase": b"HTTP/1.1 403 pay first\r\nContent-Length: 0\r\n\r\n",
    "a broken header": b"HTTP/1.1 200 OK\r\npay first\r\n\r\n",
    "its length": b"HTTP/1.1 200 OK\r\nContent-Length: pay first\r\n\r\n",
    "its coding": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: pay first\r\n\r\n",
    "its chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\npay first\r\n",
    "its range": b"HTTP/1.1 206 OK\r\nContent-Range: pay first\r\nContent-Length: 1\r\n\r\n",
    "a scheme": b"HTTP/1.1 302 OK\r\nLocation: pay-first://x\r\nContent-Length: 0\r\n\r\n",
    "a port": b"HTTP/1.1 302 OK\r\nLocation: http://x:pay first/\r\nContent-Length: 0\r\n\r\n",
    "a host": b"HTTP/1.1 302 OK\r\nLocation: http://pay-first.invalid/\r\n"
    b"Content-Length: 0\r\n\r\n",
    "a fault in its address": b"HTTP/1.1 302 OK\r\nLocation: http://x/pay\x01first\r\n"
    b"Content-Length: 0\r\n\r\n",
    "a page": b"HTTP/1.1 500 Oops\r\nContent-Length: 9\r\n\r\n" + WORDS,
}


def saying(answer: bytes) -> Talk:
    def talk(connection: socket.socket, _closing: threading.Event) -> None:
        connection.sendall(answer)

    return talk


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
def test_no_word_of_a_server_is_told(
    answer: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    progress = Progress(lambda event: None, "fetch", "labels", "bytes")
    with serve(saying(answer)) as url:
        source = Source(name="labels", kind="labels", url=f"{url}/a.json")
        with pytest.raises(UnavailableError) as caught:
            fetch(source, tmp_path / "partial", progress, Retry(attempts=2, first_seconds=0.01))
    told = f"{caught.value} {caplog.text}".lower()
    assert url in told
    assert "pay" not in told
