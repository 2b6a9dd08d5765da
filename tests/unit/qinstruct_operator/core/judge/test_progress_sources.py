"""How far each source is, from the lines of prep that are left of a log."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qinstruct_operator.api.status import MAX_SOURCES, PrepStatus, SourceStatus
from qinstruct_operator.core.judge.progress import prep_progress
from qinstruct_trainer.contract.config import Source
from qinstruct_trainer.contract.events import (
    Event,
    PrepProgress,
    PrepWaiting,
    Quantity,
    SourceProgress,
    Stage,
    parse_line,
)
from qinstruct_trainer.contract.sources import listed_item
from qinstruct_trainer.prep.progress import WithSources

SOURCES = (
    Source(name="labels", kind="labels", url="https://x/a.json", num_bytes=100),
    Source(name="images", kind="images", url="https://x/a.tar", num_bytes=1000),
    Source(name="list", kind="images", url="https://x/list.json", num_bytes=500),
)
GB = 10**9

Said = tuple[PrepProgress | PrepWaiting, ...]
Etas = tuple[dict[str, str], str | None]


def said(*events: PrepProgress | PrepWaiting, seconds: float = 10.0) -> list[Event]:
    """As prep says them, one after the other."""
    out: list[Event] = []
    report = WithSources(SOURCES, out.append)
    for number, event in enumerate(events):
        report(event.model_copy(update={"time": seconds * number}))
    return out


def moved(
    stage: Stage, item: str, done: int, total: int | None = None, unit: Quantity = "bytes"
) -> PrepProgress:
    return PrepProgress(stage=stage, item=item, done=done, total=total, unit=unit)


def etas(events: list[Event]) -> Etas:
    """That of each source, and that of all downloads."""
    seen = prep_progress(events)
    assert seen
    assert seen.status.sources
    return {row.name: row.eta for row in seen.status.sources if row.eta}, seen.status.downloads_eta


LABELS_THEN_IMAGES = (moved("fetch", "labels", 10, 100), moved("fetch", "images", 20, 1000))
ETA_CASES: dict[
    str, tuple[tuple[PrepProgress | PrepWaiting, ...], tuple[dict[str, str], str | None]]
]
ETA_CASES = {
    "no rate yet": ((moved("fetch", "labels", 10, 100),), ({}, None)),
    "one byte a second, of 100, 1000 and 500": (
        (moved("fetch", "labels", 10, 100), moved("fetch", "labels", 20, 100)),
        ({"labels": "1m"}, "26m"),
    ),
    "what an earlier attempt has brought is no rate": (
        (
            moved("fetch", "labels", 0),
            moved("fetch", "labels", 70, 100),
            moved("fetch", "labels", 80, 100),
        ),
        ({"labels": "20s"}, "25m"),
    ),
    "labels from the cache take none of it": (
        (
            moved("fetch", "labels", 1).model_copy(update={"cached": True}),
            moved("fetch", "images", 100, 1000),
            moved("fetch", "images", 200, 1000),
        ),
        ({"images": "1m"}, "2m"),
    ),
    "a server that does not say how much": (
        (moved("fetch", "labels", 10), moved("fetch", "labels", 20)),
        ({}, "26m"),
    ),
    "more than was published": (
        (moved("fetch", "labels", 200), moved("fetch", "labels", 210)),
        ({}, "25m"),
    ),
    "an extraction is no download": (
        (
            moved("extract", "images", 10, 100, "files"),
            moved("extract", "images", 20, 100, "files"),
        ),
        ({"images": "1m"}, None),
    ),
    "a list's images have no known bytes": (
        (
            moved("fetch", listed_item("list"), 10, 100, "files"),
            moved("fetch", listed_item("list"), 20, 100, "files"),
        ),
        ({"list": "1m"}, None),
    ),
    "another run fetches it": (
        (
            moved("fetch", "labels", 10, 100),
            PrepWaiting(stage="fetch", item="images", owner="other"),
        ),
        ({}, None),
    ),
    "a later stage": ((moved("gate", "records", 1, 9), moved("gate", "records", 2, 9)), ({}, None)),
}


@pytest.mark.parametrize(("events", "want"), ETA_CASES.values(), ids=ETA_CASES)
def test_time_left_of_sources(events: Said, want: Etas) -> None:
    assert etas(said(*events)) == want


def test_without_the_size_of_one_nobody_knows_the_time_of_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    unknown = SOURCES[2].model_copy(update={"num_bytes": None})
    monkeypatch.setitem(globals(), "SOURCES", (*SOURCES[:2], unknown))
    two = (moved("fetch", "labels", 10, 100), moved("fetch", "labels", 20, 100))
    assert etas(said(*two)) == ({"labels": "1m"}, None)


def test_lines_of_an_older_version_say_nothing_of_sources() -> None:
    seen = prep_progress((moved("fetch", "labels", 1), moved("fetch", "images", 1)))
    assert seen
    assert (seen.status.sources, seen.status.downloads_eta) == (None, None)


def test_a_state_of_a_newer_version_takes_no_more_than_itself() -> None:
    """The rows are those of the last line that was read, and what the later ones change."""
    lines = [event.model_dump_json() for event in said(*LABELS_THEN_IMAGES)]
    lines[-1] = lines[-1].replace('"state":"Fetching"', '"state":"Verifying"')
    events = [event for event in (parse_line(line, None) for line in lines) if event]
    assert len(events) == len(lines)
    assert prep_progress(events) == prep_progress(said(*LABELS_THEN_IMAGES))


def test_a_status_of_sources_is_bounded() -> None:
    """Whatever the lines say: 32 rows, each name once, as the API takes them."""
    rows = [SourceProgress(name=f"{'n' * 300}{number}", state="Waiting") for number in range(99)]
    rows += [SourceProgress(name=f"{number}\n", state="Ready", done=-1) for number in range(99)]
    rows += [SourceProgress(name="", state="Ready"), SourceProgress(name="0 ", state="Cached")]
    event = moved("fetch", "0", 1).model_copy(update={"sources": tuple(rows)})
    seen = prep_progress([event])
    assert seen
    found = seen.status.sources or ()
    assert len(found) == MAX_SOURCES
    assert len({each.name for each in found}) == MAX_SOURCES
    assert PrepStatus.model_validate_json(seen.status.model_dump_json()) == seen.status
    assert len(seen.status.model_dump_json()) < 100 * (MAX_SOURCES + 256)


@st.composite
def _courses(draw: st.DrawFn) -> list[Event]:
    """What prep says of one source after the other, and then of a later stage."""
    events: list[PrepProgress | PrepWaiting] = []
    for source in SOURCES:
        if draw(st.booleans()):
            events.append(PrepWaiting(stage="fetch", item=source.name, owner="other"))
        if draw(st.booleans()):
            there = moved("fetch" if source.kind == "labels" else "extract", source.name, 1, 1)
            events.append(there.model_copy(update={"cached": True}))
            continue
        steps = draw(st.integers(1, 4))
        events += [moved("fetch", source.name, 10 * n, 10 * steps) for n in range(steps + 1)]
        if source.name == "list":
            item = listed_item(source.name)
            events += [moved("fetch", item, n, steps, "files") for n in range(1, steps + 1)]
        elif source.kind == "images":
            files = range(1, steps + 1)
            events += [moved("extract", source.name, n, unit="files") for n in files]
    events += [moved("gate", "records", n) for n in range(draw(st.integers(0, 2)))]
    return said(*events)


@given(_courses(), st.data())
def test_whatever_lines_are_lost_or_read_twice(events: list[Event], data: st.DataObject) -> None:
    """The newest line says where prep is; of one that was passed unseen no more than that."""
    times = [data.draw(st.integers(0, 2)) for _ in events[:-1]]
    kept = [event for event, number in zip(events, times, strict=False) for _ in range(number)]
    whole, seen = prep_progress(events), prep_progress([*kept, events[-1]])
    assert whole
    assert seen
    assert (seen.status.stage, seen.status.item) == (whole.status.stage, whole.status.item)
    if seen.status.sources is None:
        return
    assert whole.status.sources
    for known, true in zip(seen.status.sources, whole.status.sources, strict=True):
        assert known.name == true.name
        assert known.state in ({true.state, "Ready"} if true.state == "Cached" else {true.state})
        if true.state == "Fetching":
            assert (known.done, known.total, known.unit) == (true.done, true.total, true.unit)


@given(_courses(), st.integers(1, 200))
def test_the_newest_line_with_all_sources_is_enough(events: list[Event], number: int) -> None:
    newest = max(n for n, event in enumerate(events[:number]) if getattr(event, "sources", None))
    whole, alone = prep_progress(events[: newest + 1]), prep_progress([events[newest]])
    assert whole
    assert alone
    assert alone.status.sources
    without = [row.model_copy(update={"eta": None}) for row in whole.status.sources or ()]
    assert [*alone.status.sources] == without


def test_the_status_has_what_the_lines_say() -> None:
    seen = prep_progress(
        said(
            moved("fetch", "labels", 100, 100),
            moved("fetch", "images", 4 * GB, 9 * GB),
            moved("fetch", "images", 5 * GB, 9 * GB),
        )
    )
    assert seen
    assert seen.status.sources == (
        SourceStatus(name="labels", state="Ready", done=100, total=100, unit="bytes"),
        SourceStatus(
            name="images", state="Fetching", done=5 * GB, total=9 * GB, unit="bytes", eta="40s"
        ),
        SourceStatus(name="list", state="Waiting", total=500, unit="bytes"),
    )
    assert seen.status.downloads_eta == "41s"  # at most: it is rounded up
