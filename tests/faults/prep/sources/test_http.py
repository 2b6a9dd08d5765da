"""Fetching from a real server that fails in every way a server is known to fail."""

import hashlib
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from qinstruct_trainer.contract.config import Source
from qinstruct_trainer.contract.errors import ConfigError, DataError, RunError, UnavailableError
from qinstruct_trainer.contract.events import Event, PrepProgress
from qinstruct_trainer.prep.progress import Progress
from qinstruct_trainer.prep.sources.http import Retry, fetch
from support.prep.file_server import Fault, FaultyServer, serve
from support.syncs import note_syncs

CONTENT = random.Random(0).randbytes(300_000)
DATE = "Wed, 21 Oct 2015 07:28:00 GMT"
QUICK = Retry(attempts=3, first_seconds=0.01, max_seconds=0.02)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[FaultyServer]:
    folder = tmp_path / "served"
    folder.mkdir()
    (folder / "file").write_bytes(CONTENT)
    (folder / "page").write_bytes(b"\n<HTML><body>no file</body></HTML>")
    with serve(folder) as running:
        yield running


def source(url: str, sha256: str | None = None) -> Source:
    return Source(name="q-instruct-labels", kind="labels", url=url, sha256=sha256)


def get(server: FaultyServer, tmp_path: Path, sha256: str | None = None) -> bytes:
    events: list[Event] = []
    progress = Progress(events.append, "fetch", "labels", "bytes")
    path = fetch(source(f"{server.url}/file", sha256), tmp_path / "part", progress, QUICK)
    last = events[-1]
    assert isinstance(last, PrepProgress)
    assert last.done == last.total == path.stat().st_size
    return path.read_bytes()


def fault_of(server: FaultyServer, tmp_path: Path, path: str = "file") -> RunError:
    progress = Progress(lambda _: None, "fetch", "labels", "bytes")
    with pytest.raises(RunError) as caught:
        fetch(source(f"{server.url}/{path}"), tmp_path / "part", progress, QUICK)
    return caught.value


@pytest.mark.parametrize(
    "faults",
    [
        [],
        ["reset"],
        ["reset", "reset", "reset", "reset", "reset"],
        ["too-many", "too-many"],
        ["error", "error"],
        ["reset", "ignore-range"],
        ["reset", "wrong-range"],
        ["redirect"],
        ["reset", "redirect", "error", "reset"],
    ],
    ids=lambda faults: "+".join(faults) or "none",
)
def test_file_arrives_whole(server: FaultyServer, tmp_path: Path, faults: list[Fault]) -> None:
    server.faults = faults
    digest = hashlib.sha256(CONTENT).hexdigest()
    assert get(server, tmp_path, digest) == CONTENT


def test_what_is_known_of_a_download_is_on_the_disk_before_its_bytes(
    server: FaultyServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    syncs = note_syncs(monkeypatch, tmp_path / "part")
    get(server, tmp_path)
    assert tmp_path in syncs.before
    assert [path for path in syncs.before if path.name.startswith(".part.json.")]


def test_download_goes_on_where_it_stopped(server: FaultyServer, tmp_path: Path) -> None:
    server.faults = ["reset"]
    assert get(server, tmp_path) == CONTENT
    assert server.ranges == [None, f"bytes={len(CONTENT) // 2}-"]


def test_changed_file_is_fetched_whole(server: FaultyServer, tmp_path: Path) -> None:
    server.faults = ["reset", "gone"]
    fault_of(server, tmp_path)
    changed = CONTENT[::-1]
    (tmp_path / "served" / "file").write_bytes(changed)
    server.etag = '"two"'
    assert get(server, tmp_path) == changed


def test_without_validator_nothing_is_resumed(server: FaultyServer, tmp_path: Path) -> None:
    server.etag = None
    server.faults = ["reset"]
    assert get(server, tmp_path) == CONTENT
    assert server.ranges == [None, None]
    (tmp_path / "part").write_bytes(bytes(len(CONTENT)))  # as long as the file, and not the file
    is_fetched = get(server, tmp_path) == CONTENT
    assert is_fetched  # without the difference, which takes minutes to show


@pytest.mark.parametrize(
    ("etag", "last_modified", "validator"),
    [
        ('"one"', None, '"one"'),
        ('"one"', DATE, '"one"'),
        (None, DATE, DATE),
        ('W/"one"', DATE, DATE),
        ('W/"one"', None, None),
        ("", None, None),
    ],
)
def test_a_rest_is_asked_for_only_by_what_changes_with_the_bytes(
    server: FaultyServer,
    tmp_path: Path,
    etag: str | None,
    last_modified: str | None,
    validator: str | None,
) -> None:
    """A weak ETag is also that of another file that means the same."""
    server.etag, server.last_modified = etag, last_modified
    server.faults = ["reset"]
    assert get(server, tmp_path) == CONTENT
    assert server.if_ranges == [None, validator]
    assert server.ranges == [None, validator and f"bytes={len(CONTENT) // 2}-"]


def test_whole_partial_is_not_fetched_again(server: FaultyServer, tmp_path: Path) -> None:
    get(server, tmp_path)
    get(server, tmp_path)
    assert len(server.ranges) == 1


def test_partial_that_is_too_long_is_thrown_away(server: FaultyServer, tmp_path: Path) -> None:
    server.faults = ["reset", "gone"]
    fault_of(server, tmp_path)
    with (tmp_path / "part").open("ab") as file:
        file.write(bytes(len(CONTENT)))
    assert get(server, tmp_path) == CONTENT


@pytest.mark.parametrize("fault", ["error", "too-many"])
def test_patience_ends(server: FaultyServer, tmp_path: Path, fault: Fault) -> None:
    server.faults = [fault] * 10
    error = fault_of(server, tmp_path)
    assert isinstance(error, UnavailableError)
    assert server.url in str(error)
    assert ("500" if fault == "error" else "429") in str(error)
    assert len(server.ranges) == QUICK.attempts


def test_missing_file_is_not_tried_twice(server: FaultyServer, tmp_path: Path) -> None:
    error = fault_of(server, tmp_path, "other")
    assert isinstance(error, UnavailableError)
    assert "404" in str(error)
    assert len(server.ranges) == 1


@pytest.mark.parametrize("path", ["file", "page"])
def test_html_page_is_named(server: FaultyServer, tmp_path: Path, path: str) -> None:
    server.faults = ["html"] if path == "file" else []
    error = fault_of(server, tmp_path, path)
    assert isinstance(error, UnavailableError)
    assert "HTML" in str(error)


def test_blob_url_gets_its_hint(server: FaultyServer, tmp_path: Path) -> None:
    server.faults = ["html"]
    assert "/resolve/" in str(fault_of(server, tmp_path, "blob/main/file"))


def test_wrong_digest_is_refused_and_forgotten(server: FaultyServer, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"not {'0' * 64}"):
        get(server, tmp_path, "0" * 64)
    assert not (tmp_path / "part").exists()


def test_unreachable_server_is_named(tmp_path: Path) -> None:
    progress = Progress(lambda _: None, "fetch", "labels", "bytes")
    with pytest.raises(UnavailableError, match="q-instruct-labels cannot be fetched"):
        fetch(source("http://127.0.0.1:9/file"), tmp_path / "part", progress, QUICK)


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
