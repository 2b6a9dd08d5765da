"""Several addresses of one file: the first that gives it serves, and all that failed are told."""

import hashlib
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from qinstruct_trainer.contract.config import Source
from qinstruct_trainer.contract.errors import (
    ConfigError,
    DataError,
    RunError,
    StorageError,
    UnavailableError,
)
from qinstruct_trainer.contract.events import Event, PrepProgress
from qinstruct_trainer.prep.progress import Progress
from qinstruct_trainer.prep.sources.limits import Limits
from qinstruct_trainer.prep.sources.mirrors import fetch_from_first
from qinstruct_trainer.prep.sources.retry import Retry
from support.prep.file_server import FaultyServer, serve

CONTENT = random.Random(0).randbytes(300_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
QUICK = Retry(attempts=2, first_seconds=0.01, max_seconds=0.02)
DEAD = "http://127.0.0.1:1/file"  # nothing listens there


@pytest.fixture
def server(tmp_path: Path) -> Iterator[FaultyServer]:
    folder = tmp_path / "served"
    folder.mkdir()
    (folder / "file").write_bytes(CONTENT)
    (folder / "page").write_bytes(b"<!doctype html><title>Sign in</title>")
    (folder / "other").write_bytes(CONTENT[::-1])
    with serve(folder) as running:
        yield running


def get(
    urls: list[str], tmp_path: Path, sha256: str | None = SHA256, limits: Limits | None = None
) -> tuple[Path, list[Event]]:
    events: list[Event] = []
    source = Source(name="coco", kind="images", url=urls[0], mirrors=tuple(urls[1:]), sha256=sha256)
    progress = Progress(events.append, "fetch", "coco", "bytes")
    return fetch_from_first(source, tmp_path / "part", progress, QUICK, limits), events


FIRSTS = {
    "refused": (DEAD, "ConnectError (Connection refused)"),
    "404": ("{}/nothing", "the server answers 404 Not Found"),
    "page": ("{}/page", "is an HTML page, not an archive"),
    "digest": ("{}/other", f"not {SHA256}"),
    "no file here": ("file:///not/there", "does not exist"),
    "no address": ("http://[broken/file", "is not supported"),
}


@pytest.mark.parametrize("first", FIRSTS)
def test_the_next_address_is_tried_and_told(
    first: str, server: FaultyServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    url, words = (text.format(server.url) for text in FIRSTS[first])
    path, events = get([url, f"{server.url}/file?token=s3cret"], tmp_path)
    assert path.read_bytes() == CONTENT
    last = events[-1]
    assert isinstance(last, PrepProgress)
    assert last.done == last.total == len(CONTENT)
    assert words in caplog.messages[-2]
    assert caplog.messages[-2].endswith("; its next address is tried")
    assert caplog.messages[-1] == f"coco comes from its mirror {server.url}/file"


def test_where_the_first_serves_nothing_is_said_and_no_mirror_is_asked(
    server: FaultyServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert get([f"{server.url}/file", f"{server.url}/other"], tmp_path)[0].read_bytes() == CONTENT
    assert caplog.messages == []
    assert len(server.ranges) == 1


def test_a_part_of_a_mirror_is_gone_on_with_behind_a_dead_address(
    server: FaultyServer, tmp_path: Path
) -> None:
    server.faults = ["reset", "gone"]
    failure([DEAD, f"{server.url}/file"], tmp_path)
    server.ranges.clear()
    assert get([DEAD, f"{server.url}/file"], tmp_path)[0].read_bytes() == CONTENT
    assert server.ranges == [f"bytes={len(CONTENT) // 2}-"]


def test_no_part_of_one_address_is_put_before_that_of_another(
    server: FaultyServer, tmp_path: Path
) -> None:
    server.faults = ["reset", "gone"]
    assert get([f"{server.url}/other", f"{server.url}/file"], tmp_path)[0].read_bytes() == CONTENT
    assert server.ranges == [None, f"bytes={len(CONTENT) // 2}-", None]


def failure(urls: list[str], tmp_path: Path, limits: Limits | None = None) -> RunError:
    with pytest.raises(RunError) as caught:
        get(urls, tmp_path, limits=limits)
    return caught.value


def test_where_all_fail_one_sentence_names_each_and_why(
    server: FaultyServer, tmp_path: Path
) -> None:
    urls = [f"{DEAD}?t=s3cret", f"{server.url}/nothing?t=s3cret", f"{server.url}/page"]
    found = failure(urls, tmp_path)
    assert type(found) is UnavailableError
    assert str(found) == (
        "coco comes from none of its 3 addresses: "
        f"(1) cannot be fetched from {DEAD}: ConnectError (Connection refused) (2 attempts), "
        f"(2) cannot be fetched from {server.url}/nothing: the server answers 404 Not Found, "
        f"(3) {server.url}/page is an HTML page, not an archive; "
        "correct data.sources.coco (url and mirrors), or run again later"
    )
    assert not (tmp_path / "part").exists()


def test_what_no_other_time_mends_is_final(server: FaultyServer, tmp_path: Path) -> None:
    assert type(failure([f"{server.url}/other"] * 2, tmp_path)) is DataError
    private = Limits(networks=())
    found = failure([f"{server.url}/file", f"{server.url}/other"], tmp_path, private)
    assert type(found) is ConfigError
    assert str(found).count("127.0.0.1, which is no public address") == 2
    assert type(failure([f"{server.url}/other", DEAD], tmp_path)) is UnavailableError


def test_one_address_alone_keeps_its_own_sentence(tmp_path: Path) -> None:
    found = failure([DEAD], tmp_path)
    assert str(found).startswith(f"coco cannot be fetched from {DEAD}: ConnectError")
    assert str(found).endswith("set data.sources.coco.url to a mirror")


def test_a_full_disk_is_no_reason_for_another_address(
    server: FaultyServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = type("Usage", (), {"free": 10})
    monkeypatch.setattr("shutil.disk_usage", lambda _: full)
    found = failure([f"{server.url}/file", f"{server.url}/file?2"], tmp_path)
    assert isinstance(found, StorageError)
    assert len(server.ranges) == 1


def test_a_reason_without_an_end_is_cut(tmp_path: Path) -> None:
    long = f"http://127.0.0.1:1/{'a' * 2000}"
    assert len(str(failure([long, DEAD], tmp_path))) < 1000
