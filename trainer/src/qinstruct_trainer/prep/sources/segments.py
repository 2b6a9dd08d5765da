"""Fetch a large file in segments, several at once; each goes on where it broke off.

The first connection is alone at first, and gets company as long as all of them are slow.

Two versions of a file are never joined: each segment is asked for by If-Range with the strong
ETag of the first answer, and an answer that names another ETag, range or size is not read.
"""

import threading
import time
from collections import deque
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

import httpx

from qinstruct_trainer.prep.sources.answers import is_part
from qinstruct_trainer.prep.sources.download import Download, RangeRefusedError
from qinstruct_trainer.prep.sources.partial_file import Notes
from qinstruct_trainer.prep.sources.retry import AttemptError
from qinstruct_trainer.prep.sources.segmented_file import Piece, SegmentedFile
from qinstruct_trainer.prep.sources.spans import Segmentation, num_bytes


class ChangedError(Exception):
    """The server does not give the rest of what it gave the beginning of; what came is gone."""


class _StoppedError(Exception):
    """Another connection has failed for good."""


def fetch_segments(download: Download, segmentation: Segmentation) -> None:
    """Fetch what a divided partial file lacks.

    Raises:
        ChangedError: it is another file now, or its server does not divide it any more.
        UnavailableError, DataError, StorageError: it cannot become whole.
    """
    notes = download.partial.read_notes(download.source.url)
    if notes.total is None or notes.spans is None:
        raise ValueError("the partial file is not divided")
    download.check_size(notes.total)
    download.check_space(notes.total - num_bytes(notes.spans))
    download.progress.total = notes.total
    download.progress.set(num_bytes(notes.spans))
    with SegmentedFile(download.partial, notes, segmentation.segment_bytes) as file:
        try:
            _Work(download, file, notes, deque(file.pieces)).run(segmentation)
            file.record()
        finally:
            with suppress(OSError):  # of a full disk: what was recorded before stays true
                file.record()


@dataclass
class _Work:
    """What the connections share: the pieces that are left, and whether they shall stop."""

    download: Download
    file: SegmentedFile
    notes: Notes
    left: deque[Piece]
    stopped: threading.Event = field(default_factory=threading.Event)

    def run(self, segmentation: Segmentation) -> None:
        """Fetch all pieces; the first error that is final stops all connections."""
        with ThreadPoolExecutor(segmentation.connections) as pool:
            workers = {pool.submit(self._fetch_pieces)}
            try:
                while workers:
                    came, began = self.file.num_bytes(), time.monotonic()
                    step = segmentation.step_seconds if self.left else None
                    ended, workers = wait(workers, step, FIRST_COMPLETED)
                    for worker in ended:
                        worker.result()
                    came, seconds = self.file.num_bytes() - came, time.monotonic() - began
                    if self.left and segmentation.wants_another(came, seconds, len(workers)):
                        workers.add(pool.submit(self._fetch_pieces))
            except BaseException:
                self.stopped.set()
                self.download.client.hang_up()
                raise

    def _fetch_pieces(self) -> None:
        with suppress(_StoppedError):  # who stopped the others says why
            while (piece := self._next()) is not None:
                self.download.patiently(
                    partial(self._attempt, piece),
                    have=partial(getattr, piece, "at"),
                    have_together=self.file.num_bytes,
                    wait=self._wait,
                )

    def _next(self) -> Piece | None:
        try:
            return self.left.popleft()
        except IndexError:
            return None

    def _wait(self, seconds: float) -> None:
        if self.stopped.wait(seconds):
            raise _StoppedError

    def _attempt(self, piece: Piece) -> None:
        """One request for what a piece lacks."""
        self._wait(0)
        if piece.at == piece.end:  # it had come before its connection broke
            return
        etag = self.notes.validator or ""
        headers = {"Range": f"bytes={piece.at}-{piece.end - 1}", "If-Range": etag}
        try:
            with self.download.ask(headers) as response:
                if not is_part(response, (piece.at, piece.end), self.notes.total, etag):
                    raise ChangedError("the server sends another file, or another part of it")
                self._receive(response, piece)
        except RangeRefusedError as error:
            raise ChangedError(str(error)) from error
        if piece.at < piece.end:
            raise AttemptError(f"the last {piece.end - piece.at} bytes of a segment are missing")

    def _receive(self, response: httpx.Response, piece: Piece) -> None:
        for chunk in response.iter_raw():  # as they come: a broken connection loses none
            if len(chunk) > piece.end - piece.at:
                raise ChangedError("the server sends more than was asked for")
            if self.stopped.is_set():
                raise _StoppedError
            self.file.write(piece, chunk, self.download.progress.set)
            self.download.watch.add(len(chunk))
