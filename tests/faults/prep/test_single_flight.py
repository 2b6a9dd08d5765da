"""Many preps that want one unit: one downloads it and all have it, also if that one is killed."""

import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from qinstruct_trainer.lease.holder import Holder
from qinstruct_trainer.prep.unit_cache import verify
from support.matrix import SEED
from support.prep import crowd
from support.prep.archives import tar_of
from support.prep.counting_server import SECONDS, Counting, count
from support.prep.miniature import LABELS, write_miniature
from support.running import is_running, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

ARCHIVE = "q-instruct-images.tar"
NUM_BYTES = 8 << 20
SEGMENT = 1 << 18  # the most that may be fetched again after a kill
NUM_RUNS = 50
KILLS = sorted(random.Random(SEED).sample(range(1 << 18, NUM_BYTES, 4096), 10))


@pytest.fixture
def served(tmp_path: Path) -> Path:
    """The miniature, its archive with a large file more."""
    folder = tmp_path / "served"
    written = write_miniature(folder)
    padding = tar_of(folder / "padding", {"padding": random.Random(0).randbytes(NUM_BYTES)})
    with written.archive.open("ab") as file:
        file.write(padding.read_bytes())
    return folder


@contextmanager
def preps_of(counting: Counting, cache: Path) -> Iterator["subprocess.Popen[str]"]:
    """So many preps with one cache."""
    addresses = (f"{counting.url}/{LABELS}", f"{counting.url}/{ARCHIVE}")
    command = [sys.executable, crowd.__file__, str(cache), *addresses, str(NUM_RUNS)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):  # none is left
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def codes_of(process: "subprocess.Popen[str]") -> list[int]:
    said, _ = process.communicate(timeout=5 * SECONDS)
    return sorted(json.loads(said))


def leader(cache: Path) -> int:
    """The process that holds the lease on the archive's download."""
    files = (cache / "units" / ".leases").glob("fetch-images-*.*")
    newest = max(files, key=lambda path: int(path.suffix[1:]))
    holder = Holder.parse(newest.read_bytes())
    assert holder is not None
    assert not holder.released
    return holder.pid


def size_of_partial(cache: Path) -> int:
    """Bytes of the archive that have come."""
    files = (cache / "downloads").glob("fetch-images-*")
    return max((path.stat().st_size for path in files), default=0)


def wait_for_size(cache: Path, num_bytes: int) -> None:
    """What is under way is nobody's loss yet."""
    wait_until(lambda: size_of_partial(cache) == num_bytes)


def kill(pid: int, killed: list[int]) -> None:
    """End it, and wait until it is gone."""
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not is_running(pid))
    killed.append(pid)


def assert_whole(cache: Path, *fetched: str) -> None:
    """The files that were fetched and are needed, and one unit of each other stage."""
    units = sorted((cache / "units").glob("[!.]*"))
    stages = [unit.name.split("-")[0] for unit in units]
    assert stages == ["extract", *["fetch" for _ in fetched], "gate", "merge", "pixels"]
    assert [unit.name.split("-")[1] for unit in units if "fetch" in unit.name] == [*fetched]
    for unit in units:
        verify(unit)
    assert [path.name for path in (cache / "units").glob(".*")] == [".leases"]
    (padding,) = (cache / "units").glob("extract-images-*/files/padding")
    assert padding.stat().st_size == NUM_BYTES


def test_one_downloads_and_all_have_it(served: Path, tmp_path: Path) -> None:
    size = (served / ARCHIVE).stat().st_size
    with count(served, ARCHIVE, stops=[size // 2]) as counting:
        with preps_of(counting, tmp_path / "cache") as process:
            counting.wait_for_stop()  # while all the others wait, or begin to
            counting.go_on.set()
            codes = codes_of(process)
        assert (counting.num_requests, counting.num_sent) == (1, size)
    assert codes == [0] * NUM_RUNS
    assert_whole(tmp_path / "cache", "labels")


def test_a_killed_leader_costs_the_others_a_segment_at_most(served: Path, tmp_path: Path) -> None:
    size = (served / ARCHIVE).stat().st_size
    killed: list[int] = []
    with count(served, ARCHIVE, KILLS) as counting:
        counting.client_is_gone = True
        with preps_of(counting, tmp_path / "cache") as process:
            for _ in KILLS:
                at = counting.wait_for_stop()
                wait_for_size(tmp_path / "cache", at)
                kill(leader(tmp_path / "cache"), killed)
                counting.go_on.set()
            codes = codes_of(process)
        assert counting.num_requests == 1 + len(KILLS)
        assert size <= counting.num_sent <= size + SEGMENT * len(KILLS)
    assert len(set(killed)) == len(KILLS)
    assert codes == [-signal.SIGKILL] * len(KILLS) + [0] * (NUM_RUNS - len(KILLS))
    # Of those that were killed nobody knows whether they come again for the archive.
    assert_whole(tmp_path / "cache", "images", "labels")
