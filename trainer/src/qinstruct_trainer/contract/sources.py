"""How far each source of a run's data is: what an event of prep changes about it. Pure, torch-free.

Prep obtains one source after another. So an event of one says that those before it are ready, and
an event of a later stage that all are, whichever events were seen before.
"""

from collections.abc import Sequence
from typing import Final

from qinstruct_trainer.contract.config import Source
from qinstruct_trainer.contract.events import PrepProgress, PrepWaiting, SourceProgress, SourceState

_OF_SOURCES: Final = ("fetch", "extract")
Sources = tuple[SourceProgress, ...]


def in_order_of_work(sources: Sequence[Source]) -> tuple[Source, ...]:
    """The sources as prep obtains them: images last, since a list of them needs the labels."""
    return tuple(sorted(sources, key=lambda source: source.kind == "images"))


def listed_item(name: str) -> str:
    """The item of the stage that fetches what a source's list of images names."""
    return f"{name}-images"


def before_work(sources: Sequence[Source]) -> Sources:
    """All sources before prep has begun, in the order of its work."""
    return tuple(
        SourceProgress(name=source.name, state="Waiting", total=source.num_bytes)
        for source in in_order_of_work(sources)
    )


def after_event(sources: Sources, event: PrepProgress | PrepWaiting) -> Sources:
    """How far they are when prep has said this; an item that is no source changes nothing."""
    place = _place(sources, event)
    if place is None:
        return sources
    passed, here, left = sources[:place], sources[place : place + 1], sources[place + 1 :]
    return (*map(_passed, passed), *(_moved(source, event) for source in here), *left)


def _place(sources: Sources, event: PrepProgress | PrepWaiting) -> int | None:
    """Which one the event is about; their number for a later stage."""
    if event.stage not in _OF_SOURCES:
        return len(sources)
    names = [source.name for source in sources]
    items = [*names, *map(listed_item, names)]  # a source of just that name comes first
    return items.index(event.item) % len(names) if event.item in items else None


def _passed(source: SourceProgress) -> SourceProgress:
    return source if source.state == "Cached" else _whole(source, "Ready")


def _whole(source: SourceProgress, state: SourceState) -> SourceProgress:
    """In a state that comes after its download: of a known number of bytes all are there."""
    done = source.done if source.done is None or source.total is None else source.total
    return source.model_copy(update={"state": state, "done": done})


def _moved(source: SourceProgress, event: PrepProgress | PrepWaiting) -> SourceProgress:
    if source.state == "Ready":
        return source
    if isinstance(event, PrepWaiting):
        return source.model_copy(update={"state": "Waiting"})
    if event.cached:  # an archive may be found again when it has been extracted, and is kept
        is_first = source.state == "Waiting"
        return source.model_copy(update={"state": "Cached"}) if is_first else source
    if event.stage == "extract":
        return _whole(source, "Extracting")
    if source.state == "Extracting":
        return source  # a line that was read before
    return _fetched(source, event)


def _fetched(source: SourceProgress, event: PrepProgress) -> SourceProgress:
    # A server need not say how much there is; what was published of a file's size still holds.
    published = source.total if event.unit == "bytes" else None
    total = published if event.total is None else event.total
    changes = {"state": "Fetching", "done": event.done, "total": total, "unit": event.unit}
    return source.model_copy(update=changes)
