"""Connections that another thread breaks."""

import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from qinstruct_trainer.prep.sources.connection import Client, open_client
from qinstruct_trainer.prep.sources.limits import Limits, Watch


@pytest.fixture
def tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """Of a server that clients of this test believe."""
    if shutil.which("openssl") is None:
        pytest.skip("making a certificate needs openssl")
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    made = ("-keyout", str(key), "-out", str(certificate), "-subj", "/CN=server")
    kind = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    named = ("-addext", "subjectAltName=IP:127.0.0.1")
    subprocess.run(
        ["openssl", "req", "-x509", *kind, *named, *made], check=True, capture_output=True
    )
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


@contextmanager
def stalling(tls: ssl.SSLContext | None, began: threading.Event) -> Iterator[str]:
    """A server that sends the beginning of an answer, and then nothing."""
    closing = threading.Event()

    def answer() -> None:
        plain, _ = listener.accept()
        with tls.wrap_socket(plain, server_side=True) if tls else plain as connection:
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nx")
            began.set()
            closing.wait()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=answer)
        thread.start()
        yield f"{'https' if tls else 'http'}://127.0.0.1:{listener.getsockname()[1]}/file"
        closing.set()
        thread.join()


def read_until_broken(client: Client, url: str, began: threading.Event) -> list[Exception]:
    """What a reader of that address says when its client hangs up."""
    said: list[Exception] = []

    def read() -> None:
        try:
            client.get(url)
        except httpx.HTTPError as error:
            said.append(error)

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    assert began.wait(30)
    client.hang_up()
    thread.join(30)  # its own patience is a minute
    return said


def test_a_reader_is_woken() -> None:
    began = threading.Event()
    with stalling(None, began) as url, open_client(Watch(Limits())) as client:
        (error,) = read_until_broken(client, url, began)
    assert isinstance(error, httpx.TransportError)


def test_a_reader_of_an_encrypted_connection_is_woken(tls: ssl.SSLContext) -> None:
    began = threading.Event()
    with stalling(tls, began) as url, open_client(Watch(Limits())) as client:
        (error,) = read_until_broken(client, url, began)
    assert isinstance(error, httpx.TransportError)
