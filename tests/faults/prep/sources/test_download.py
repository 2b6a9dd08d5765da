"""Servers that answer with something else than the file: which is tried again, and how often."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from qinstruct_trainer.contract.errors import UnavailableError
from qinstruct_trainer.prep.progress import Progress
from qinstruct_trainer.prep.sources.http import fetch
from support.prep.fetching import QUICK, fault_of, source
from support.prep.file_server import Fault, FaultyServer, serve_files

CONTENT = b"[1, 2]"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[FaultyServer]:
    page = b"\n<HTML><body>no file</body></HTML>"
    with serve_files(tmp_path / "served", file=CONTENT, page=page) as running:
        yield running


@pytest.mark.parametrize("fault", ["error", "too-many"])
def test_patience_ends(server: FaultyServer, tmp_path: Path, fault: Fault) -> None:
    server.faults = [fault] * 10
    error = fault_of(f"{server.url}/file", tmp_path)
    assert isinstance(error, UnavailableError)
    assert server.url in str(error)
    assert ("500" if fault == "error" else "429") in str(error)
    assert len(server.ranges) == QUICK.attempts


def test_missing_file_is_not_tried_twice(server: FaultyServer, tmp_path: Path) -> None:
    error = fault_of(f"{server.url}/other", tmp_path)
    assert isinstance(error, UnavailableError)
    assert "404" in str(error)
    assert len(server.ranges) == 1


@pytest.mark.parametrize("path", ["file", "page"])
def test_html_page_is_named(server: FaultyServer, tmp_path: Path, path: str) -> None:
    server.faults = ["html"] if path == "file" else []
    error = fault_of(f"{server.url}/{path}", tmp_path)
    assert isinstance(error, UnavailableError)
    assert "HTML" in str(error)


def test_blob_url_gets_its_hint(server: FaultyServer, tmp_path: Path) -> None:
    server.faults = ["html"]
    assert "/resolve/" in str(fault_of(f"{server.url}/blob/main/file", tmp_path))


def test_unreachable_server_is_named(tmp_path: Path) -> None:
    progress = Progress(lambda _: None, "fetch", "labels", "bytes")
    with pytest.raises(UnavailableError, match="q-instruct-labels cannot be fetched"):
        fetch(source("http://127.0.0.1:9/file"), tmp_path / "part", progress, QUICK)
