"""Events of a stage: the first count and the last, and few in between."""

import pytest

from qinstruct_trainer.contract.events import Event, PrepProgress
from qinstruct_trainer.prep import progress as progress_module
from qinstruct_trainer.prep.progress import Progress


class Clock:
    """Stands in for the module's clock; `now` is set by the test."""

    now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(progress_module, "time", clock)
    return clock


def counts(events: list[Event]) -> list[tuple[int, int | None]]:
    return [(event.done, event.total) for event in events if isinstance(event, PrepProgress)]


def test_an_event_says_stage_item_and_unit() -> None:
    events: list[Event] = []
    Progress(events.append, "fetch", "labels", "bytes", 7).add(3)
    (event,) = events
    assert isinstance(event, PrepProgress)
    assert (event.stage, event.item, event.unit) == ("fetch", "labels", "bytes")
    assert (event.done, event.total, event.cached) == (3, 7, False)


def test_the_first_count_and_the_last_are_reported_however_fast(clock: Clock) -> None:
    events: list[Event] = []
    progress = Progress(events.append, "gate", "records", "files")
    for _ in range(1000):
        progress.add()
    assert counts(events) == [(1, None)]
    progress.finish()
    assert counts(events) == [(1, None), (1000, 1000)]


def test_five_events_a_second_are_enough(clock: Clock) -> None:
    events: list[Event] = []
    progress = Progress(events.append, "gate", "records", "files", 100)
    for done in range(1, 101):  # ten seconds
        progress.set(done)
        clock.now += 0.1
    assert 45 <= len(events) <= 50
    assert counts(events) == sorted(counts(events))


def test_nothing_done_is_finished_too() -> None:
    events: list[Event] = []
    Progress(events.append, "merge", "records", "records", 5).finish()
    assert counts(events) == [(0, 0)]
