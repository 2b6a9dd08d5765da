"""The whole of prep, killed at any point and run again: the same result, few bytes twice."""

import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from qinstruct_trainer.contract.config import Source
from support.matrix import SEED, sampled
from support.prep import killed_prep
from support.prep.file_server import FaultyServer, serve
from support.prep.killed_prep import SEGMENT
from support.prep.miniature import ARCHIVE, LABELS, write_miniature
from support.prep.prep_json import write_prep_json
from support.prep.units import digests

pytestmark = pytest.mark.slow

POINTS = [random.Random(f"{SEED}-{number}").random() for number in range(30)]
# So small a step that what is on its way to four connections is an eighth of a segment.
STEP = SEGMENT // 32


_SURE = 0.95  # of the operations: how many there are depends a little on which thread is first


@dataclass(frozen=True)
class Line:
    """A server, a process that runs prep, and what an undisturbed one makes."""

    server: FaultyServer
    folder: Path
    process: "subprocess.Popen[str]"
    sizes: dict[str, int]

    def run(self, folder: Path, kill_before: int = 0) -> tuple[int, int]:
        """Exit code and number of operations of a prep with its cache below the folder."""
        sources = (
            Source(name="q-instruct-labels", kind="labels", url=f"{self.server.url}/{LABELS}"),
            Source(name="q-instruct-images", kind="images", url=f"{self.server.url}/{ARCHIVE}"),
        )
        config = write_prep_json(folder, "run", sources)
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{config} {kill_before}\n")
        self.process.stdin.flush()
        code, operations = self.process.stdout.readline().split()
        return int(code), int(operations)


@contextmanager
def driver() -> Iterator["subprocess.Popen[str]"]:
    process = subprocess.Popen(
        [sys.executable, killed_prep.__file__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    try:
        yield process
    finally:
        process.communicate()


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    folder = tmp_path_factory.mktemp("line")
    made = write_miniature(folder / "served", num_images=120)
    sizes = {path.name: path.stat().st_size for path in (made.labels, made.archive)}
    assert min(sizes.values()) >= 2 * SEGMENT
    with serve(folder / "served") as server, driver() as process:
        server.bytes_per_second, server.step_bytes = 100 * STEP, STEP
        yield Line(server, folder, process, sizes)


@pytest.fixture(scope="module")
def undisturbed(line: Line) -> tuple[int, dict[str, dict[str, str]]]:
    """The operations of a prep that nobody kills, and its digests."""
    code, operations = line.run(line.folder / "whole")
    assert code == 0
    return operations, digests(line.folder / "whole" / "cache")


@pytest.mark.parametrize("point", sampled(POINTS, 4))
def test_killed_at_any_point_it_goes_on(
    line: Line, undisturbed: tuple[int, dict[str, dict[str, str]]], tmp_path: Path, point: float
) -> None:
    operations, expected = undisturbed
    line.server.sent.clear()

    code, _ = line.run(tmp_path, 1 + int(point * _SURE * operations))
    assert code == -signal.SIGKILL
    assert not (tmp_path / "run" / "prepared.json").exists()

    assert line.run(tmp_path)[0] == 0
    assert digests(tmp_path / "cache") == expected
    for name, size in line.sizes.items():
        assert size <= line.server.sent[name, 206] <= size + SEGMENT
