"""Files of a checkpoint's state: written once, on the disk, digested on the way.

Nothing is read again for its digest: it is the digest of what was to be written, so that a disk
that stored something else is found when the checkpoint is verified.
"""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import IO, Any, cast

import torch

from qinstruct_trainer.durable_files import create_new

WriteState = Callable[[Path, Any], object]
"""What a file of the state is given to: its path and what is to be in it."""

_PIECE = 4 << 20  # bytes that are in the processor's cache when they are written after the digest


class Cancelled(Exception):  # noqa: N818 - not an error: nobody wants the file any more
    """The run ends, and what was being written is not needed."""


def write_state(path: Path, state: Any, cancelled: Event | None = None) -> str:
    """Write a new file as `torch.save` does; it is on the disk afterwards.

    Args:
        path: Where nothing is yet.
        state: What `torch.save` takes.
        cancelled: Once it is set, no more is written.

    Returns:
        The hexadecimal SHA-256 of the file.

    Raises:
        OSError: the disk is full or broken, or something is there.
        Cancelled: nobody needs the file any more.
    """
    with create_new(path) as file:
        digested = _Digested(file, cancelled or Event())
        torch.save(state, cast(IO[bytes], digested))
        if digested.failure is not None:
            if isinstance(digested.failure, OSError):
                digested.failure.filename = str(path)  # else it could be the net's
            raise digested.failure
        os.fsync(file.fileno())
        return digested.sha256.hexdigest()


class _Digested:
    """A file with the digest of what is written to it.

    torch's writer calls it from C, through which no exception should pass: the first one is kept,
    and nothing is written after it.
    """

    def __init__(self, file: IO[bytes], cancelled: Event):
        self._file = file
        self._cancelled = cancelled
        self.sha256 = hashlib.sha256()
        self.failure: OSError | Cancelled | None = None

    def write(self, content: memoryview) -> int:
        """Write all of it, or nothing after a failure."""
        whole = memoryview(content).cast("B")
        for start in range(0, len(whole), _PIECE):
            if self.failure is None:
                self._write_piece(whole[start : start + _PIECE])
        return len(whole)

    def flush(self) -> None:
        """Nothing is kept back."""

    def _write_piece(self, piece: memoryview) -> None:
        if self._cancelled.is_set():
            self.failure = Cancelled()
            return
        self.sha256.update(piece)
        try:
            while piece:
                piece = piece[self._file.write(piece) :]
        except OSError as error:
            self.failure = error
