"""Progress of one stage as events, a few a second however fast the work goes."""

import time
from collections.abc import Callable, Sequence

from qinstruct_trainer.contract.config import Source
from qinstruct_trainer.contract.events import (
    Event,
    PrepProgress,
    PrepWaiting,
    Quantity,
    SourceState,
    Stage,
)
from qinstruct_trainer.contract.sources import after_event, before_work

Report = Callable[[Event], None]

_SECONDS_BETWEEN_EVENTS = 0.2
_SECONDS_BETWEEN_TABLES = 5.0  # of all sources: 25 events, of the 200 that the operator reads


class WithSources:
    """Passes events on; some of them say how far all sources are.

    Those that change a source's state, and one each few seconds.
    """

    def __init__(self, sources: Sequence[Source], report: Report):
        self._report = report
        self._sources = before_work(sources)
        self._said: list[SourceState] = []
        self._last = 0.0

    def __call__(self, event: Event) -> None:
        """Report the event."""
        if isinstance(event, PrepProgress | PrepWaiting):
            self._sources = after_event(self._sources, event)
            if self._is_due():
                event = event.model_copy(update={"sources": self._sources})
        self._report(event)

    def _is_due(self) -> bool:
        states, now = [source.state for source in self._sources], time.monotonic()
        if states == self._said and now - self._last < _SECONDS_BETWEEN_TABLES:
            return False
        self._said, self._last = states, now
        return True


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
