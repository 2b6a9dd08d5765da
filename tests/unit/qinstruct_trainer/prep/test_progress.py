"""Events of a stage: the first count and the last, and few in between."""

from itertools import pairwise

import pytest

from qinstruct_trainer.contract.config import Source
from qinstruct_trainer.contract.events import Event, PrepDone, PrepProgress, PrepWaiting
from qinstruct_trainer.prep import progress as progress_module
from qinstruct_trainer.prep.progress import Progress, WithSources


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


SOURCES = (
    Source(name="images", kind="images", url="https://x/a.tar"),
    Source(name="labels", kind="labels", url="https://x/a.json"),
)


def test_all_sources_are_said_when_one_changes_and_every_few_seconds(clock: Clock) -> None:
    events: list[Event] = []
    report = WithSources(SOURCES, events.append)
    progress = Progress(report, "fetch", "labels", "bytes", 100)
    for done in range(100):  # twenty seconds
        progress.set(done)
        clock.now += 0.2
    tables = [
        n for n, event in enumerate(events) if isinstance(event, PrepProgress) and event.sources
    ]
    assert tables[0] == 0
    assert max(b - a for a, b in pairwise(tables)) <= 30
    assert len(tables) <= 5

    report(PrepWaiting(stage="fetch", item="images", owner="other"))
    newest = events[-1]
    assert isinstance(newest, PrepWaiting)
    assert newest.sources
    states = {source.name: (source.state, source.done) for source in newest.sources}
    assert states == {"labels": ("Ready", 100), "images": ("Waiting", None)}


def test_other_events_are_passed_on_as_they_are() -> None:
    events: list[Event] = []
    done = PrepDone(num_records=1, num_dropped=0, path="/x")
    WithSources(SOURCES, events.append)(done)
    assert events == [done]
