"""Unpacks an archive into a unit of the cache, killed right before some of its file operations.

`python unpack_killed.py ARCHIVE FOLDER KILLS...` makes a cache `FOLDER/KILLS` for each KILLS, which
is a comma-separated row of numbers: a process is killed before that operation, then the next one,
which goes on, before that, and so on; 0 is never. Prints how many operations the last one made.
"""

import os
import signal
import sys
from pathlib import Path
from typing import Any

from qinstruct_trainer.contract.config import Source
from qinstruct_trainer.prep.stages import FinishedUnit, Stages
from qinstruct_trainer.prep.unit_cache import UnitCache

NAME = "q-instruct-images"
_OPERATIONS = frozenset(
    {*("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.chmod", "os.utime"), "open"}
)


def make_unit(archive: Path, cache: Path) -> Path:
    """The folder of the unit."""
    stages = Stages(UnitCache(cache, "run", lambda _: None), lambda _: None)
    source = Source(name=NAME, kind="images", url="https://host/file", into="in/it")
    return stages.extract(source, FinishedUnit("fetched", archive.parent)).folder


class _Count:
    """Counts the operations below a folder that a unit is built in; kills before one of them."""

    def __init__(self, limit: int):
        self._limit = limit
        self.done = 0
        sys.addaudithook(self._note)

    def _note(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event not in _OPERATIONS or ".building" not in str(arguments[0]):
            return
        if event == "open" and not arguments[2] & (os.O_WRONLY | os.O_RDWR):
            return
        self.done += 1
        if self.done == self._limit:
            os.kill(os.getpid(), signal.SIGKILL)


def main(archive: Path, folder: Path, rows: list[str]) -> None:
    for row in rows:
        for limit in row.split(","):
            if (pid := os.fork()) == 0:
                count = _Count(int(limit))
                make_unit(archive, folder / row)
                sys.stdout.write(f"{count.done}\n")
                sys.stdout.flush()
                os._exit(0)
            os.waitpid(pid, 0)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
