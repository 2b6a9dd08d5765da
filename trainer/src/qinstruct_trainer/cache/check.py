"""Reads every file of every unit and compares it with its digest. Nothing is changed."""

import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from qinstruct_trainer.cache.listing import Found, list_cache
from qinstruct_trainer.contract.cache import DamagedUnit, Verified
from qinstruct_trainer.contract.errors import DataError
from qinstruct_trainer.contract.events import Event, Verifying
from qinstruct_trainer.prep.unit_cache import verify

_SECONDS_BETWEEN_EVENTS = 0.2


def check_cache(root: Path, now: float, report: Callable[[Event], None]) -> Verified:
    """Verify all units; those that are being made have no digests yet.

    Args:
        root: The cache.
        now: Unix time in seconds.
        report: Takes the progress.

    Raises:
        ConfigError: it is no cache.
        OSError: it cannot be read.
    """
    units = [found for found in list_cache(root, now) if found.entry.kind == "unit"]
    progress = _Progress(report, sum(found.entry.num_bytes for found in units))
    damaged = tuple(_damaged(units, progress))
    progress.emit("")
    return Verified(num_units=len(units), num_bytes=progress.done, damaged=damaged)


class _Progress:
    """Bytes that are done, of all, a few times a second."""

    def __init__(self, report: Callable[[Event], None], total: int):
        self._report = report
        self._last = 0.0
        self.total = total
        self.done = 0

    def add(self, name: str, num_bytes: int) -> None:
        self.done += num_bytes
        if time.monotonic() - self._last >= _SECONDS_BETWEEN_EVENTS:
            self.emit(name)

    def emit(self, name: str) -> None:
        self._last = time.monotonic()
        self._report(Verifying(item=name, done=self.done, total=self.total))


def _damaged(units: Sequence[Found], progress: _Progress) -> list[DamagedUnit]:
    damaged = []
    for found in units:
        name, before = found.entry.name, progress.done
        try:
            verify(found.path, partial(progress.add, name))
        except DataError as error:
            damaged.append(DamagedUnit(name=name, reason=str(error)))
        progress.done = before + found.entry.num_bytes
    return damaged
