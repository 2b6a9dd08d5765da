"""A file in segments from a server that fails in every way a server is known to fail."""

import math
import random
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from qinstruct_trainer.contract.errors import DataError, StorageError, UnavailableError
from qinstruct_trainer.prep.sources.limits import Limits
from qinstruct_trainer.prep.sources.retry import Retry
from qinstruct_trainer.prep.sources.spans import Segmentation
from support.matrix import SEED, sampled
from support.prep.fetching import fault_of, get
from support.prep.file_server import Fault, FaultyServer, serve_files

SEGMENT = 64 << 10
SMALL = Segmentation(
    min_bytes=4 * SEGMENT,
    segment_bytes=SEGMENT,
    connections=4,
    step_seconds=0.001,
    fast_bytes_per_second=math.inf,  # no rate is enough: all four are opened at once
)
CONTENT = random.Random(0).randbytes(10 * SEGMENT + 1234)
CUTS = [
    *(border + by for border in range(0, len(CONTENT), SEGMENT) for by in (-1, 0, 1)),
    len(CONTENT) - 1,
    *(random.Random(SEED).randrange(len(CONTENT)) for _ in range(60)),
]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[FaultyServer]:
    with serve_files(tmp_path / "served", file=CONTENT) as running:
        yield running


def fetched(server: FaultyServer, folder: Path) -> bytes:
    return get(f"{server.url}/file", folder, segmentation=SMALL)


def segments_of(server: FaultyServer) -> list[str | None]:
    """The ranges that were asked for, after the first answer, in the file's order."""
    return sorted(server.ranges[1:], key=lambda asked: int(f"{asked}"[6:].partition("-")[0]))


def test_each_segment_is_asked_for_once_by_the_etag(server: FaultyServer, tmp_path: Path) -> None:
    assert fetched(server, tmp_path) == CONTENT
    assert server.ranges[0] is None
    borders = [*range(0, len(CONTENT), SEGMENT), len(CONTENT)]
    assert segments_of(server) == [f"bytes={start}-{end - 1}" for start, end in pairwise(borders)]
    assert server.if_ranges == [None] + ['"one"'] * 11


def test_a_whole_file_is_not_fetched_again(server: FaultyServer, tmp_path: Path) -> None:
    fetched(server, tmp_path)
    fetched(server, tmp_path)
    assert len(server.ranges) == 12


def test_no_more_connections_than_they_may_be(server: FaultyServer, tmp_path: Path) -> None:
    server.bytes_per_second = 20 * SEGMENT
    get(f"{server.url}/file", tmp_path, segmentation=replace(SMALL, connections=2))
    assert server.most_at_once == 2


def test_connections_that_are_fast_stay_alone(server: FaultyServer, tmp_path: Path) -> None:
    server.bytes_per_second, server.step_bytes = 40 * SEGMENT, SEGMENT // 4  # many steps long
    alone = replace(SMALL, fast_bytes_per_second=0)  # any rate is enough
    assert get(f"{server.url}/file", tmp_path, segmentation=alone) == CONTENT
    assert server.most_at_once == 1


@pytest.mark.parametrize("cut", sampled(CUTS, 24))
def test_a_connection_that_breaks_at_a_byte_costs_no_other_byte(
    server: FaultyServer, tmp_path: Path, cut: int
) -> None:
    server.before = lambda number: server.cuts.append(cut) if number == 2 else None
    assert fetched(server, tmp_path) == CONTENT
    assert server.sent["file", 206] == len(CONTENT)


@pytest.mark.parametrize(
    "faults",
    [
        ["reset"],
        ["reset"] * 12,
        ["too-many", "busy", "error"],
        ["redirect", "redirect", "reset", "redirect"],
        ["error", "reset", "too-many", "reset", "busy", "reset"],
    ],
    ids="+".join,
)
def test_a_failure_that_passes_is_waited_for(
    server: FaultyServer, tmp_path: Path, faults: list[Fault]
) -> None:
    server.before = lambda number: server.faults.extend(faults) if number == 2 else None
    assert fetched(server, tmp_path) == CONTENT
    assert server.ranges.count(None) == 1


@pytest.mark.parametrize(
    "fault",
    [
        "ignore-range",
        "wrong-range",
        "wrong-total",
        "too-short",
        "too-long",
        "multipart",
        "untagged",
    ],
)
@pytest.mark.parametrize("request_number", [2, 7, 12])
def test_a_server_that_gives_no_such_segment_is_asked_anew(
    server: FaultyServer, tmp_path: Path, fault: Fault, request_number: int
) -> None:
    def spoil(number: int) -> None:
        if number == request_number:
            server.faults.append(fault)

    server.before = spoil
    assert fetched(server, tmp_path) == CONTENT
    assert server.ranges.count(None) == 2


@pytest.mark.parametrize("fault", ["ignore-range", "wrong-range", "wrong-total", "multipart"])
def test_a_server_that_never_gives_one_is_read_as_one_stream(
    server: FaultyServer, tmp_path: Path, fault: Fault
) -> None:
    server.before = lambda _: server.faults.append(fault) if server.ranges[-1] else None
    assert fetched(server, tmp_path) == CONTENT
    assert server.ranges.count(None) == 3


@pytest.mark.parametrize("lack", ["parts", "etag", "strong etag", "size of a large file"])
def test_what_cannot_be_joined_is_one_stream(
    server: FaultyServer, tmp_path: Path, lack: str
) -> None:
    server.accept_ranges = lack != "parts"
    if "etag" in lack:
        server.etag = 'W/"one"' if "strong" in lack else None
    if "size" in lack:
        (tmp_path / "served" / "file").write_bytes(CONTENT[: SMALL.min_bytes - 1])
    assert CONTENT.startswith(fetched(server, tmp_path))
    assert server.ranges == [None]


@pytest.mark.parametrize("request_number", [2, 5, 9, 12])
@pytest.mark.parametrize("fault", [None, "ignore-if-range"])
def test_two_versions_are_never_joined(
    server: FaultyServer, tmp_path: Path, request_number: int, fault: Fault | None
) -> None:
    changed = CONTENT[::-1]

    def change(number: int) -> None:
        if number >= request_number and server.etag == '"one"':
            (tmp_path / "served" / "file").write_bytes(changed)
            server.etag = '"two"'
            server.faults = [fault] * 4 if fault else []

    server.before = change
    assert fetched(server, tmp_path) == changed


def test_a_file_that_has_changed_since_the_last_run_is_fetched_anew(
    server: FaultyServer, tmp_path: Path
) -> None:
    server.before = lambda number: server.faults.append("forbidden") if number == 6 else None
    fault_of(f"{server.url}/file", tmp_path, segmentation=SMALL)
    server.before = lambda _: None
    changed = CONTENT[SEGMENT:]
    (tmp_path / "served" / "file").write_bytes(changed)
    server.etag = '"two"'
    assert fetched(server, tmp_path) == changed


@pytest.mark.parametrize(("fault", "status"), [("forbidden", "403"), ("gone", "404")])
def test_an_answer_that_is_final_ends_all_connections(
    server: FaultyServer, tmp_path: Path, fault: Fault, status: str
) -> None:
    server.bytes_per_second, server.step_bytes = 8 * SEGMENT, SEGMENT // 8
    server.before = lambda number: server.faults.append(fault) if number == 9 else None
    error = fault_of(f"{server.url}/file", tmp_path, segmentation=SMALL)
    assert isinstance(error, UnavailableError)
    assert status in str(error)
    assert server.sent["file", 206] < len(CONTENT)
    server.bytes_per_second, before = None, server.sent["file", 206]
    assert fetched(server, tmp_path) == CONTENT  # and what had come is kept
    assert server.sent["file", 206] - before < len(CONTENT)


@pytest.mark.parametrize("fault", ["error", "busy"])
def test_patience_with_all_connections_ends(
    server: FaultyServer, tmp_path: Path, fault: Fault
) -> None:
    server.before = lambda number: server.faults.append(fault) if number > 5 else None
    error = fault_of(f"{server.url}/file", tmp_path, segmentation=SMALL)
    assert isinstance(error, UnavailableError)
    assert "(3 attempts)" in str(error)


def test_a_connection_that_is_refused_waits_for_the_others(
    server: FaultyServer, tmp_path: Path
) -> None:
    """As by a server that gives a client one connection alone."""
    server.most = 1
    server.bytes_per_second, server.step_bytes = 20 * SEGMENT, 1000
    patient = Retry(attempts=3, first_seconds=0.2, max_seconds=0.4)
    got = get(f"{server.url}/file", tmp_path, retry=patient, segmentation=SMALL)
    assert got == CONTENT
    assert server.most_at_once > 1
    assert server.ranges.count(None) == 1


def test_a_page_in_the_place_of_a_segment_is_named(server: FaultyServer, tmp_path: Path) -> None:
    server.before = lambda number: server.faults.append("html") if number == 4 else None
    assert "HTML" in str(fault_of(f"{server.url}/file", tmp_path, segmentation=SMALL))


def test_stalled_connections_end_by_the_rate_of_all(server: FaultyServer, tmp_path: Path) -> None:
    server.before = lambda number: server.faults.append("slow") if number > 1 else None
    hasty = Limits(min_bytes_per_second=10**6, window_seconds=0.5, total_seconds=5)
    error = fault_of(f"{server.url}/file", tmp_path, limits=hasty, segmentation=SMALL)
    assert "it is not whole after 5 s" in str(error) or "less than 1e+06 a second" in str(error)


def test_a_trickle_on_all_connections_is_not_waited_for(
    server: FaultyServer, tmp_path: Path
) -> None:
    server.bytes_per_second, server.step_bytes = 1000, 50
    hasty = Limits(min_bytes_per_second=10**6, window_seconds=0.5, total_seconds=60)
    error = fault_of(f"{server.url}/file", tmp_path, limits=hasty, segmentation=SMALL)
    assert "less than 1e+06 a second" in str(error)


def test_more_than_the_source_may_have_is_not_begun(server: FaultyServer, tmp_path: Path) -> None:
    limits = Limits(max_bytes=len(CONTENT) - 1)
    error = fault_of(f"{server.url}/file", tmp_path, limits=limits, segmentation=SMALL)
    assert isinstance(error, DataError)
    assert not list(tmp_path.glob("part*"))


def test_what_is_too_large_for_the_disk_is_not_begun(
    server: FaultyServer, small_disk: Path
) -> None:
    (small_disk / "other").write_bytes(bytes((1 << 20) - len(CONTENT) + 8192))
    error = fault_of(f"{server.url}/file", small_disk, segmentation=SMALL)
    assert isinstance(error, StorageError)
    assert not (small_disk / "part").exists()
    assert sum(server.ranges.count(asked) for asked in server.ranges if asked) == 0


def test_a_disk_that_fills_up_keeps_what_is_recorded(
    server: FaultyServer, small_disk: Path
) -> None:
    def fill(number: int) -> None:
        if number == 4:
            (small_disk / "other").write_bytes(bytes((1 << 20) - 6 * SEGMENT))

    server.before = fill
    with pytest.raises(OSError, match="No space left"):
        fetched(server, small_disk)
    (small_disk / "other").unlink()
    server.before, before = lambda _: None, server.sent["file", 206]
    assert fetched(server, small_disk) == CONTENT
    assert server.sent["file", 206] - before < len(CONTENT)


def test_all_connections_keep_to_the_bandwidth_together(
    server: FaultyServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QINSTRUCT_MAX_BANDWIDTH", "1M")
    began = time.monotonic()
    assert fetched(server, tmp_path) == CONTENT
    # Not how fast it was, but that it cannot have been faster, whatever else this machine does.
    assert time.monotonic() - began >= len(CONTENT) / 1e6 - 0.2
