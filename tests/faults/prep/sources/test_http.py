"""What is fetched is checked; a path of this machine is a source too."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from qinstruct_trainer.contract.errors import ConfigError, DataError, RunError, UnavailableError
from qinstruct_trainer.prep.progress import Progress
from qinstruct_trainer.prep.sources.http import fetch
from support.prep.fetching import QUICK, get, source
from support.prep.file_server import FaultyServer, serve_files

CONTENT = b"[1, 2]"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[FaultyServer]:
    with serve_files(tmp_path / "served", file=CONTENT) as running:
        yield running


def test_wrong_digest_is_refused_and_forgotten(server: FaultyServer, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"not {'0' * 64}"):
        get(f"{server.url}/file", tmp_path, "0" * 64)
    assert not (tmp_path / "part").exists()


@pytest.mark.parametrize(
    ("url", "error"),
    [
        ("ftp://host/file", ConfigError),
        ("file", ConfigError),
        ("http://", UnavailableError),
        ("http://[::1/file", ConfigError),
        ("file:///nowhere/file", UnavailableError),
        ("file:///tmp", UnavailableError),
    ],
)
def test_bad_url_is_a_sentence(tmp_path: Path, url: str, error: type[RunError]) -> None:
    progress = Progress(lambda _: None, "fetch", "labels", "bytes")
    with pytest.raises(error, match="q-instruct-labels"):
        fetch(source(url), tmp_path / "part", progress, QUICK)


def test_local_file_is_used_in_place(tmp_path: Path) -> None:
    path = tmp_path / "with space"
    path.write_bytes(b"[]")
    progress = Progress(lambda _: None, "fetch", "labels", "bytes")
    assert fetch(source(path.as_uri()), tmp_path / "part", progress) == path
