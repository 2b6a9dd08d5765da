"""Runs prep in processes that are killed before one of their operations.

    python killed_prep.py

Each line of its input is the path of a prep.json and a number: that of the operation before which
a process is killed; 0, that none is. It answers each by a line: the exit code (of a signal
negative), how many operations the process has come to, and how many bytes of segments it has
written. An operation is a change of the file system, or a KiB that comes over a connection. Small
files are divided too.
"""

import math
import os
import signal
import sys
import threading
from functools import partial
from pathlib import Path
from typing import Any, Final

from qinstruct_trainer.contract.config import PrepConfig
from qinstruct_trainer.prep import index, model
from qinstruct_trainer.prep.run import run_prep
from qinstruct_trainer.prep.sources import connection, mirrors, segmented_file
from qinstruct_trainer.prep.sources.http import fetch
from qinstruct_trainer.prep.sources.segmented_file import Piece, SegmentedFile
from qinstruct_trainer.prep.sources.spans import Segmentation

SEGMENT: Final = 32 << 10
_SMALL: Final = Segmentation(
    min_bytes=2 * SEGMENT,
    segment_bytes=SEGMENT,
    connections=4,
    step_seconds=0.001,
    fast_bytes_per_second=math.inf,
)
_PRELOADED: Final = (index, model)  # which takes longer than all the rest
_CHANGES: Final = frozenset({"os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "open"})


def main() -> None:
    vars(mirrors)["fetch"] = partial(fetch, segmentation=_SMALL)
    for line in sys.stdin:
        config, number = line.split()
        sys.stdout.write(f"{_in_a_fork(Path(config), int(number))}\n")
        sys.stdout.flush()


def _in_a_fork(config: Path, number: int) -> str:
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            counter = _Counter(config.parent, number, writer)
            run_prep(PrepConfig.read(config), lambda _: None)
            counter.tell()
            code = 0
        finally:
            os._exit(code)
    os.close(writer)
    with os.fdopen(reader) as said:
        counts = said.read() or "0 0"
    _, status = os.waitpid(pid, 0)
    return f"{os.waitstatus_to_exitcode(status)} {counts}"


class _Counter:
    """Counts the operations of this process, and kills it before the one of that number."""

    def __init__(self, folder: Path, number: int, writer: int):
        self._done, self._written = 0, 0
        self._folder, self._number, self._writer = str(folder), number, writer
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

        write = SegmentedFile.write

        def noted(file: SegmentedFile, piece: Piece, content: bytes, *rest: Any) -> None:
            write(file, piece, content, *rest)
            with self._lock:
                self._written += len(content)

        vars(connection)["_Stream"].read = counted
        vars(segmented_file)["SegmentedFile"].write = noted
        sys.addaudithook(self._hear)

    def tell(self) -> None:
        os.write(self._writer, f"{self._done} {self._written}".encode())

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event not in _CHANGES:
            return
        if event == "open" and not (arguments[2] or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            return
        if self._folder in str(arguments[0]) or isinstance(arguments[-1], int):
            self._count()

    def _count(self) -> None:
        with self._lock:
            self._done += 1
            if self._done == self._number:
                self.tell()
                os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main()
