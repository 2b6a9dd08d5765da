"""How far each source is, from any of the events that prep has said."""

from functools import reduce

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qinstruct_trainer.contract.config import Source
from qinstruct_trainer.contract.events import (
    PrepProgress,
    PrepWaiting,
    Quantity,
    SourceProgress,
    SourceState,
    Stage,
)
from qinstruct_trainer.contract.sources import (
    Sources,
    after_event,
    before_work,
    in_order_of_work,
    listed_item,
)

SOURCES = (
    Source(name="labels", kind="labels", url="https://x/a.json", num_bytes=100),
    Source(name="images", kind="images", url="https://x/a.tar", num_bytes=1000),
    Source(name="more", kind="labels", url="https://x/b.json"),
    Source(name="list", kind="images", url="https://x/list.json"),
)
NAMES = ("labels", "more", "images", "list")
TOTALS = {"labels": 100, "images": 1000}


def moved(
    stage: Stage,
    item: str,
    done: int = 0,
    total: int | None = None,
    unit: Quantity = "bytes",
) -> PrepProgress:
    return PrepProgress(stage=stage, item=item, done=done, total=total, unit=unit, time=0)


def found(stage: Stage, item: str) -> PrepProgress:
    return PrepProgress(stage=stage, item=item, done=1, total=1, unit="files", cached=True, time=0)


def waits(stage: Stage, item: str) -> PrepWaiting:
    return PrepWaiting(stage=stage, item=item, owner="other", time=0)


def row(
    name: str,
    state: SourceState = "Waiting",
    done: int | None = None,
    total: int | None = None,
    unit: Quantity = "bytes",
) -> SourceProgress:
    total = TOTALS.get(name) if total is None else total
    return SourceProgress(name=name, state=state, done=done, total=total, unit=unit)


def test_nothing_has_begun() -> None:
    assert [source.name for source in in_order_of_work(SOURCES)] == [*NAMES]
    assert before_work(SOURCES) == tuple(row(name) for name in NAMES)


LABELS_READY = (row("labels", "Ready"), row("more", "Ready"))
IMAGES_READY = (*LABELS_READY, row("images", "Ready"))
CASES: dict[str, tuple[tuple[PrepProgress | PrepWaiting, ...], Sources]] = {
    "its server has not answered": ((moved("fetch", "labels"),), (row("labels", "Fetching", 0),)),
    "it has not said how much": (
        (moved("fetch", "labels", 30),),
        (row("labels", "Fetching", 30, 100),),
    ),
    "it is another size than published": (
        (moved("fetch", "labels", 30, 90),),
        (row("labels", "Fetching", 30, 90),),
    ),
    "all bytes are there, and not yet a unit": (
        (moved("fetch", "labels", 90, 90),),
        (row("labels", "Fetching", 90, 90),),
    ),
    "the next one has begun": (
        (moved("fetch", "labels", 90, 90), moved("fetch", "more")),
        (row("labels", "Ready", 90, 90), row("more", "Fetching", 0)),
    ),
    "it began anew from a mirror": (
        (moved("fetch", "labels", 90, 95), moved("fetch", "labels", 5, 99)),
        (row("labels", "Fetching", 5, 99),),
    ),
    "from the cache": ((found("fetch", "labels"),), (row("labels", "Cached"),)),
    "from the cache, and the next one": (
        (found("fetch", "labels"), moved("fetch", "more", 7)),
        (row("labels", "Cached"), row("more", "Fetching", 7)),
    ),
    "another run fetches it": (
        (moved("fetch", "labels"), waits("fetch", "more")),
        (row("labels", "Ready", 100), row("more")),
    ),
    "another run has fetched it": (
        (waits("fetch", "labels"), found("fetch", "labels")),
        (row("labels", "Cached"),),
    ),
    "extracted": (
        (moved("fetch", "images", 1000, 1000), moved("extract", "images", 7, unit="files")),
        (*LABELS_READY, row("images", "Extracting", 1000)),
    ),
    "extracted, though the end of its download was not read": (
        (moved("fetch", "images", 900, 990), moved("extract", "images", 7, unit="files")),
        (*LABELS_READY, row("images", "Extracting", 990, 990)),
    ),
    "extracted from an archive of the cache": (
        (found("fetch", "images"), moved("extract", "images", 7, unit="files")),
        (*LABELS_READY, row("images", "Extracting")),
    ),
    "its archive is kept, and found again when it is extracted": (
        (moved("extract", "images", 7, unit="files"), found("fetch", "images")),
        (*LABELS_READY, row("images", "Extracting")),
    ),
    "extracted files and their archive from the cache": (
        (found("extract", "images"), found("fetch", "images")),
        (*LABELS_READY, row("images", "Cached")),
    ),
    "another run extracts it": (
        (moved("fetch", "images", 1000, 1000), waits("extract", "images")),
        (*LABELS_READY, row("images", "Waiting", 1000)),
    ),
    "a list's images": (
        (
            moved("fetch", "list", 9, 9),
            moved("fetch", listed_item("list"), 3, 50, "files"),
        ),
        (*IMAGES_READY, row("list", "Fetching", 3, 50, "files")),
    ),
    "a list from the cache, and its images not": (
        (found("fetch", "list"), moved("fetch", listed_item("list"), 3, None, "files")),
        (*IMAGES_READY, row("list", "Fetching", 3, None, "files")),
    ),
    "a list's images from the cache": (
        (found("fetch", "list"), found("fetch", listed_item("list"))),
        (*IMAGES_READY, row("list", "Cached")),
    ),
    "a line of before": (
        (moved("fetch", "labels", 90, 90), moved("fetch", "more"), moved("fetch", "labels", 1)),
        (row("labels", "Ready", 90, 90), row("more", "Fetching", 0)),
    ),
    "a line of before the extraction": (
        (moved("fetch", "images"), moved("extract", "images"), moved("fetch", "images", 1)),
        (*LABELS_READY, row("images", "Extracting", 1000)),
    ),
    "no source": ((moved("fetch", "builtin"), waits("extract", "images-images-images")), ()),
    "the model of a source's name": (
        (moved("model", "labels"),),
        tuple(row(name, "Ready") for name in NAMES),
    ),
}


@pytest.mark.parametrize(("events", "want"), CASES.values(), ids=CASES)
def test_after_events(events: tuple[PrepProgress | PrepWaiting, ...], want: Sources) -> None:
    rest = tuple(row(name) for name in NAMES[len(want) :])
    assert reduce(after_event, events, before_work(SOURCES)) == want + rest


def test_a_source_of_the_name_that_a_lists_images_have() -> None:
    both = before_work([SOURCES[3], SOURCES[3].model_copy(update={"name": listed_item("list")})])
    after = after_event(both, moved("fetch", listed_item("list"), 5))
    assert [source.state for source in after] == ["Ready", "Fetching"]


STAGES: list[Stage] = ["fetch", "extract", "gate", "pixels", "merge", "model", "index"]
_OF_NAMES = [*NAMES, *map(listed_item, NAMES), "records"]
_EVENTS = st.one_of(
    st.builds(
        moved,
        st.sampled_from(STAGES),
        st.sampled_from(_OF_NAMES),
        st.integers(0, 9),
        st.none() | st.integers(0, 9),
        st.sampled_from(["bytes", "files"]),
    ),
    st.builds(found, st.sampled_from(STAGES), st.sampled_from(_OF_NAMES)),
    st.builds(waits, st.sampled_from(STAGES), st.sampled_from(_OF_NAMES)),
)


@given(st.lists(_EVENTS, max_size=12))
def test_a_repeated_event_changes_nothing_more(events: list[PrepProgress | PrepWaiting]) -> None:
    sources = before_work(SOURCES)
    for event in events:
        sources = after_event(sources, event)
        assert after_event(sources, event) == sources
        assert [source.name for source in sources] == [*NAMES]


@given(st.lists(_EVENTS, max_size=12), _EVENTS)
def test_what_is_before_the_newest_is_there(
    events: list[PrepProgress | PrepWaiting], newest: PrepProgress | PrepWaiting
) -> None:
    """Whatever was seen before it, and of whatever was not."""
    sources = reduce(after_event, [*events, newest], before_work(SOURCES))
    if newest.stage not in ("fetch", "extract"):
        number = len(NAMES)
    else:
        number = next((n for n, name in enumerate(NAMES) if newest.item.startswith(name)), 0)
    assert {source.state for source in sources[:number]} <= {"Ready", "Cached"}
