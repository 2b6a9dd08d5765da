"""One stream from a server that fails in every way a server is known to fail."""

import hashlib
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.prep.fetching import fault_of, get
from support.prep.file_server import Fault, FaultyServer, serve_files
from support.syncs import note_syncs

CONTENT = random.Random(0).randbytes(300_000)
DATE = "Wed, 21 Oct 2015 07:28:00 GMT"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[FaultyServer]:
    with serve_files(tmp_path / "served", file=CONTENT) as running:
        yield running


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
    assert get(f"{server.url}/file", tmp_path, digest) == CONTENT


def test_what_is_known_of_a_download_is_on_the_disk_before_its_bytes(
    server: FaultyServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    syncs = note_syncs(monkeypatch, tmp_path / "part")
    get(f"{server.url}/file", tmp_path)
    assert tmp_path in syncs.before
    assert [path for path in syncs.before if path.name.startswith(".part.json.")]


def test_download_goes_on_where_it_stopped(server: FaultyServer, tmp_path: Path) -> None:
    server.faults = ["reset"]
    assert get(f"{server.url}/file", tmp_path) == CONTENT
    assert server.ranges == [None, f"bytes={len(CONTENT) // 2}-"]


def test_changed_file_is_fetched_whole(server: FaultyServer, tmp_path: Path) -> None:
    server.faults = ["reset", "gone"]
    fault_of(f"{server.url}/file", tmp_path)
    changed = CONTENT[::-1]
    (tmp_path / "served" / "file").write_bytes(changed)
    server.etag = '"two"'
    assert get(f"{server.url}/file", tmp_path) == changed


def test_without_validator_nothing_is_resumed(server: FaultyServer, tmp_path: Path) -> None:
    server.etag = None
    server.faults = ["reset"]
    assert get(f"{server.url}/file", tmp_path) == CONTENT
    assert server.ranges == [None, None]
    (tmp_path / "part").write_bytes(bytes(len(CONTENT)))  # as long as the file, and not the file
    is_fetched = get(f"{server.url}/file", tmp_path) == CONTENT
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
    assert get(f"{server.url}/file", tmp_path) == CONTENT
    assert server.if_ranges == [None, validator]
    assert server.ranges == [None, validator and f"bytes={len(CONTENT) // 2}-"]


def test_whole_partial_is_not_fetched_again(server: FaultyServer, tmp_path: Path) -> None:
    get(f"{server.url}/file", tmp_path)
    get(f"{server.url}/file", tmp_path)
    assert len(server.ranges) == 1


def test_partial_that_is_too_long_is_thrown_away(server: FaultyServer, tmp_path: Path) -> None:
    server.faults = ["reset", "gone"]
    fault_of(f"{server.url}/file", tmp_path)
    with (tmp_path / "part").open("ab") as file:
        file.write(bytes(len(CONTENT)))
    assert get(f"{server.url}/file", tmp_path) == CONTENT


def test_a_rest_of_another_version_is_not_joined(server: FaultyServer, tmp_path: Path) -> None:
    """By a server that sends a part whatever If-Range says."""
    server.faults = ["reset", "gone"]
    fault_of(f"{server.url}/file", tmp_path)
    changed = CONTENT[::-1]
    (tmp_path / "served" / "file").write_bytes(changed)
    server.etag, server.faults = '"two"', ["ignore-if-range"]
    assert get(f"{server.url}/file", tmp_path) == changed
