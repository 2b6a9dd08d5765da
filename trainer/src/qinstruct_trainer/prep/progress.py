"""Progress of one stage as events, a few a second however fast the work goes."""

import time
from collections.abc import Callable
from typing import Literal

from qinstruct_trainer.contract.events import Event, PrepProgress, Stage

Report = Callable[[Event], None]
Quantity = Literal["bytes", "files", "records"]

_SECONDS_BETWEEN_EVENTS = 0.2


class Progress:
    """Counts what a stage has done; the first count and the last are always reported."""

    def __init__(
        self,
        report: Report,
        stage: Stage,
        item: str,
        quantity: Quantity,
        total: int | None = None,
    ):
        self._report = report
        self._stage: Stage = stage
        self._item = item
        self._quantity: Quantity = quantity
        self._last = 0.0
        self.total = total
        self.done = 0

    def set(self, done: int) -> None:
        """Note how much is done by now."""
        self.done = done
        if time.monotonic() - self._last >= _SECONDS_BETWEEN_EVENTS:
            self._emit()

    def add(self, count: int = 1) -> None:
        """Note that `count` more is done."""
        self.set(self.done + count)

    def finish(self) -> None:
        """Report the last count; the total is known now."""
        self.total = self.done
        self._emit()

    def _emit(self) -> None:
        self._last = time.monotonic()
        self._report(
            PrepProgress(
                stage=self._stage,
                item=self._item,
                done=self.done,
                total=self.total,
                unit=self._quantity,
            )
        )
