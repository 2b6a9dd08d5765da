"""A file that many connections fill, and the record of which of its bytes are there.

A record counts no byte that a power cut could take: those counted are brought to the disk before
the record takes its place. At most half a segment, and what is being written just now, is ever
there without being recorded: so much is fetched again after a kill, however many connections
there are.
"""

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from qinstruct_trainer.durable_files import open_within
from qinstruct_trainer.prep.sources.partial_file import Notes, PartialFile
from qinstruct_trainer.prep.sources.spans import Span, merged, missing, num_bytes

_RECORDS_A_SEGMENT: Final = 4


@dataclass
class Piece:
    """The part of a segment that is to be fetched: from `start` to `end`, and `at` is next."""

    start: int
    end: int
    at: int


class SegmentedFile:
    """The file as it grows; any thread may write, each piece by one."""

    def __init__(self, partial: PartialFile, notes: Notes, segment_bytes: int):
        """Open a partial file of that many bytes for what its notes lack.

        Raises:
            OSError: it cannot be opened.
        """
        if notes.total is None or notes.spans is None:
            raise ValueError("a file without a size has no segments")
        self._partial, self._notes, self._there = partial, notes, notes.spans
        spans = missing(notes.spans, notes.total, segment_bytes)
        self.pieces = tuple(Piece(start, end, start) for start, end in spans)
        self._step = segment_bytes // _RECORDS_A_SEGMENT
        self._count, self._recording = threading.Lock(), threading.Lock()
        self._num_bytes, self._unrecorded = num_bytes(notes.spans), 0
        self._file = open_within(partial.path)

    def __enter__(self) -> "SegmentedFile":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def num_bytes(self) -> int:
        """How many bytes are there."""
        return self._num_bytes

    def write(self, piece: Piece, content: bytes, note: Callable[[int], None]) -> None:
        """Put the next bytes of a piece to their place.

        Args:
            piece: Which.
            content: At most what it lacks.
            note: Told how many bytes of the file are there; one thread at a time.

        Raises:
            OSError: they cannot be written.
        """
        left = memoryview(content)
        while left:
            written = os.pwrite(self._file.fileno(), left, piece.at)
            left = left[written:]
            with self._count:
                piece.at += written
                self._num_bytes += written
                self._unrecorded += written
                note(self._num_bytes)
        if self._unrecorded >= self._step:
            self._record_if_due()

    def _record_if_due(self) -> None:
        """One thread records while the others go on, until so much has come that they wait."""
        if self._recording.acquire(blocking=self._unrecorded >= 2 * self._step):
            try:
                if self._unrecorded >= self._step:  # another thread may have, meanwhile
                    self._record()
            finally:
                self._recording.release()

    def record(self) -> None:
        """Bring what is there, and the record of it, to the disk.

        Raises:
            OSError: it cannot be written; the record before stays true.
        """
        with self._recording:
            self._record()

    def _record(self) -> None:
        with self._count:
            covered = self._unrecorded
            spans = self._spans()
        if covered:
            os.fdatasync(self._file.fileno())
            self._partial.write_notes(self._notes.model_copy(update={"spans": spans}))
            with self._count:
                self._unrecorded -= covered

    def _spans(self) -> tuple[Span, ...]:
        return merged([*self._there, *((piece.start, piece.at) for piece in self.pieces)])
