"""Prep with settings of the environment that no library can use, and through a SOCKS proxy."""

import os
import re
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from qinstruct_trainer.contract.config import ModelSource, PrepConfig, Source
from qinstruct_trainer.contract.errors import EXIT_CONFIG, UnavailableError
from qinstruct_trainer.prep.progress import Progress
from qinstruct_trainer.prep.sources.http import fetch
from qinstruct_trainer.prep.sources.hub import Place, resolve
from qinstruct_trainer.prep.sources.retry import Retry
from support.prep import hub_server, raw_server, socks_server
from support.prep.file_server import serve
from support.prep.hub_server import Hub

REPOSITORY = "lmsys/vicuna-7b-v1.5"
QUICK = Retry(attempts=2, first_seconds=0.01, max_seconds=0.05)
NO_PROXY = {"NO_PROXY": "", "no_proxy": ""}


def prep(folder: Path, source: Source, model: ModelSource, env: dict[str, str]) -> tuple[int, str]:
    """Exit code and words of the whole command."""
    config = PrepConfig(
        run="run",
        cache=folder / "cache",
        output=folder / "run",
        sources=(source,),
        model=model,
        max_length=512,
        seed=0,
    )
    file = folder / "prep.json"
    file.write_text(config.to_json(), "utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "qinstruct_trainer", "prep", "--config", str(file)],
        env=os.environ | NO_PROXY | env,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stderr


WEB = Source(name="labels", kind="labels", url="http://localhost:9/labels.json")
BUILTIN = Source(name="builtin", kind="builtin", url="builtin:")
TINY = ModelSource(kind="tiny")
HUB = ModelSource(kind="llava", base=REPOSITORY)


@pytest.mark.parametrize(
    ("source", "model", "name", "value"),
    [
        (WEB, TINY, "ALL_PROXY", "socks4://127.0.0.1:7890"),
        (WEB, TINY, "https_proxy", "http://proxy:80800"),
        (WEB, TINY, "NO_PROXY", "[::1]"),
        (WEB, TINY, "SSL_CERT_FILE", "/nowhere/ca.pem"),
        (WEB, TINY, "SSLKEYLOGFILE", "/nowhere/keys"),
        (WEB, TINY, "QINSTRUCT_MAX_BANDWIDTH", "fast"),
        (BUILTIN, HUB, "QINSTRUCT_MAX_BANDWIDTH", "99k"),
        (BUILTIN, HUB, "ALL_PROXY", "socks4://127.0.0.1:7890"),
        (BUILTIN, HUB, "SSL_CERT_FILE", "/nowhere/ca.pem"),
        (BUILTIN, HUB, "HF_ENDPOINT", "hub.example"),
        (BUILTIN, HUB, "HF_TOKEN", "hf_\u2026"),
        (BUILTIN, TINY, "HF_HUB_ETAG_TIMEOUT", "soon"),
    ],
)
def test_a_bad_setting_is_named_before_anything_is_made(
    source: Source, model: ModelSource, name: str, value: str, tmp_path: Path
) -> None:
    code, said = prep(tmp_path, source, model, {name: value})

    assert code == EXIT_CONFIG
    assert re.fullmatch(rf"{name} in the environment .*, or unset it\n", said)
    assert not (tmp_path / "cache").exists()


def test_a_file_comes_through_a_socks_proxy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "labels.json").write_text("[]")
    progress = Progress(lambda _: None, "fetch", "labels", "bytes")
    with serve(tmp_path) as server, socks_server.serve() as (proxy, asked):
        monkeypatch.setenv("ALL_PROXY", proxy)
        source = Source(name="labels", kind="labels", url=f"{server.url}/labels.json")
        assert fetch(source, tmp_path / "part", progress, QUICK).read_text() == "[]"
        assert asked == [server.url.removeprefix("http://")]


def test_a_repository_comes_through_a_socks_proxy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        hub_server.serve(Hub(REPOSITORY, {"config.json": b"{}"})) as hub,
        socks_server.serve() as (proxy, asked),
    ):
        monkeypatch.setenv("ALL_PROXY", proxy)
        folder = resolve(REPOSITORY, None, Place(tmp_path, endpoint=hub.url))
        assert (folder / "config.json").read_bytes() == b"{}"
        assert hub.url.removeprefix("http://") in asked


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",  # the port of a proxy of another kind
        b"",
        b"\5",
        b"\5\xff",  # it wants another login
        b"\5\0",  # and then nothing
        b"\4\0\0\0\0\0\0\0",
    ],
)
def test_a_proxy_that_speaks_no_socks_is_a_sentence(
    answer: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def talk(peer: socket.socket, _: threading.Event) -> None:
        peer.sendall(answer)
        if answer == b"\5\0":
            peer.recv(4096)  # what is left unread at the end would reset the connection

    progress = Progress(lambda _: None, "fetch", "labels", "bytes")
    with raw_server.serve(talk) as url:
        monkeypatch.setenv("ALL_PROXY", url.replace("http", "socks5"))
        with pytest.raises(UnavailableError, match=r"labels cannot be fetched from .*Proxy"):
            fetch(WEB, tmp_path / "part", progress, QUICK)
        with pytest.raises(UnavailableError, match=f"{REPOSITORY} cannot be fetched"):
            resolve(REPOSITORY, None, Place(tmp_path, endpoint="http://localhost:9"))
