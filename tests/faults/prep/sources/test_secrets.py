"""A token in an address: it is sent, and nothing that is written or said has it."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from qinstruct_trainer.contract.config import ModelSource, PrepConfig, Source
from support.prep.file_server import FaultyServer, serve

SECRET = "s3cret"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[FaultyServer]:
    folder = tmp_path / "served"
    folder.mkdir()
    (folder / "file").write_bytes(b"[1, 2]")
    with serve(folder) as running:
        yield running


def prepare(url: str, tmp_path: Path) -> str:
    """What `prep` says, as a pod runs it; stopped after some seconds of further attempts.

    Its config, which must have the address, is outside of its folders.
    """
    config = PrepConfig(
        run="one",
        cache=tmp_path / "cache",
        output=tmp_path / "output",
        sources=(Source(name="labels", kind="labels", url=url),),
        model=ModelSource(kind="tiny"),
        max_length=2048,
        seed=1,
    )
    (tmp_path / "output").mkdir()
    path = tmp_path / "prep.json"
    path.write_text(config.to_json())
    process = subprocess.Popen(
        [sys.executable, "-m", "qinstruct_trainer", "prep", "--config", str(path)],
        env=os.environ | {"QINSTRUCT_TERMINATION_LOG": str(tmp_path / "output" / "last.json")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        return process.communicate(timeout=6)[0]
    except subprocess.TimeoutExpired:
        process.terminate()
        return process.communicate()[0]


def has_secret(folder: Path) -> list[Path]:
    """Files whose name or content has the token."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return [p for p in files if SECRET in str(p) or SECRET.encode() in p.read_bytes()]


@pytest.mark.parametrize("form", ["{}/file?token=s3cret&x=1", "{}/file#s3cret"])
def test_a_token_is_in_no_file_and_no_message(
    form: str, server: FaultyServer, tmp_path: Path
) -> None:
    said = prepare(form.format(server.url), tmp_path)
    assert "no record is usable" in said
    assert SECRET not in said
    (manifest,) = (tmp_path / "cache" / "units").glob("fetch-*/manifest.json")
    parts = json.loads(manifest.read_text())["key_parts"]
    assert parts[0].startswith(f"{server.url}/file#sha256=")
    assert has_secret(tmp_path / "cache") + has_secret(tmp_path / "output") == []


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://127.0.0.1:1/file?token=s3cret", "http://127.0.0.1:1/file: ConnectError"),
        ("http://me:s3cret@127.0.0.1:1/file", "http://127.0.0.1:1/file: ConnectError"),
        ("http://127.0.0.1:99999/file?token=s3cret", "http://127.0.0.1:99999/file"),
        ("ftp://host/file?token=s3cret", "ftp://host/file is not supported"),
        ("file:///not/there?token=s3cret", "file:///not/there does not exist"),
        ("http://[broken/file?token=s3cret", "http://[broken/file"),
    ],
)
def test_an_address_that_fails_is_named_without_its_token(
    url: str, shown: str, tmp_path: Path
) -> None:
    said = prepare(url, tmp_path)
    assert shown in said
    assert "Traceback" not in said
    assert SECRET not in said
    assert has_secret(tmp_path / "cache") + has_secret(tmp_path / "output") == []


def test_a_download_that_was_stopped_remembers_no_token(
    server: FaultyServer, tmp_path: Path
) -> None:
    server.faults = ["reset"] * 20
    said = prepare(f"{server.url}/file?token=s3cret", tmp_path)
    assert "again in" in said
    assert SECRET not in said
    assert list((tmp_path / "cache" / "downloads").glob("*.json"))
    assert has_secret(tmp_path / "cache") == []
