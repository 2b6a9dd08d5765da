"""Runs prep in processes that are killed before one of their operations.

    python killed_prep.py

Each line of its input is the path of a prep.json and a number: that of the operation before which
a process is killed; 0, that none is. It answers each by a line: the exit code (of a signal
negative), and how many operations the process has come to, where it came to its end. An operation
is a change of the file system, or a KiB that comes over a connection. Small files are divided too.
"""

import os
import signal
import sys
import threading
from functools import partial
from pathlib import Path
from typing import Any, Final

from qinstruct_trainer.contract.config import PrepConfig
from qinstruct_trainer.prep import index, model, stages
from qinstruct_trainer.prep.run import run_prep
from qinstruct_trainer.prep.sources import connection
from qinstruct_trainer.prep.sources.http import fetch
from qinstruct_trainer.prep.sources.spans import Segmentation

SEGMENT: Final = 32 << 10
_SMALL: Final = Segmentation(min_bytes=2 * SEGMENT, segment_bytes=SEGMENT, connections=4)
_PRELOADED: Final = (index, model)  # which takes longer than all the rest
_CHANGES: Final = frozenset({"os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "open"})


def main() -> None:
    vars(stages)["fetch"] = partial(fetch, segmentation=_SMALL)
    for line in sys.stdin:
        config, number = line.split()
        code, operations = _in_a_fork(Path(config), int(number))
        sys.stdout.write(f"{code} {operations}\n")
        sys.stdout.flush()


def _in_a_fork(config: Path, number: int) -> tuple[int, int]:
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            counter = _Counter(config.parent, number)
            run_prep(PrepConfig.read(config), lambda _: None)
            os.write(writer, str(counter.done).encode())
            code = 0
        finally:
            os._exit(code)
    os.close(writer)
    with os.fdopen(reader) as said:
        operations = int(said.read() or 0)
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status), operations


class _Counter:
    """Counts the operations of this process, and kills it before the one of that number."""

    def __init__(self, folder: Path, number: int):
        self.done = 0
        self._folder, self._number = str(folder), number
        self._lock, self._received = threading.RLock(), 0
        read = connection._Stream.read

        def counted(stream: connection._Stream, *arguments: Any, **options: Any) -> bytes:
            content = read(stream, *arguments, **options)
            with self._lock:
                self._received += len(content)
                for _ in range(self._received // 1024):
                    self._count()
                self._received %= 1024
            return content

        vars(connection)["_Stream"].read = counted
        sys.addaudithook(self._hear)

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event not in _CHANGES:
            return
        if event == "open" and not (arguments[2] or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            return
        if self._folder in str(arguments[0]) or isinstance(arguments[-1], int):
            self._count()

    def _count(self) -> None:
        with self._lock:
            self.done += 1
            if self.done == self._number:
                os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main()
