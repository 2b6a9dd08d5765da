"""Draws what is in a cache, how far its verification is, and what was deleted of it."""

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)

from qinstruct_operator.cli.humanize import amount_text, duration_text, size_text
from qinstruct_operator.cli.tables import print_table
from qinstruct_operator.cli.terminal import sanitize
from qinstruct_trainer.contract.cache import CacheEntry, CacheListing, CopiedUnit, Pruned, Verified
from qinstruct_trainer.contract.events import Event, Verifying

_PLAIN_SECONDS = 10.0
_MAX_TEXT = 80
_MAX_RUNS = 3
_COLUMNS = ("stage", "item", "size", "age", "last used", "runs", "state")
_AGES = ((86400, "d"), (3600, "h"), (60, "min"))


def show_listing(console: Console, listing: CacheListing, now: float) -> None:
    """All entries, with totals."""
    units = [entry for entry in listing.entries if entry.kind == "unit"]
    others = [entry for entry in listing.entries if entry.kind != "unit"]
    print_table(console, "Units", ("name", *_COLUMNS), (_row(entry, now) for entry in units))
    if others:
        rows = (_row(entry, now) for entry in others)
        print_table(console, "Not finished, or not ours", ("name", *_COLUMNS), rows)
    _say(
        console,
        f"\n{len(units)} units and {len(others)} others take {size_text(listing.num_bytes)}; "
        f"{size_text(listing.free_bytes)} are free in {_text(listing.root, 4096)}",
    )


def show_damaged(console: Console, found: Verified) -> None:
    """The damaged units, or that there are none."""
    if found.damaged:
        rows = ((_text(unit.name), _text(unit.reason, 1000)) for unit in found.damaged)
        print_table(console, "Damaged", ("unit", "what is wrong"), rows)
    whole = found.num_units - len(found.damaged)
    _say(
        console,
        f"{whole} of {found.num_units} units are whole ({size_text(found.num_bytes)} read); "
        "nothing was changed",
    )


def show_pruned(console: Console, found: Pruned, now: float) -> None:
    """What was deleted or would be, and what was not, though it was to be."""
    title = "Deleted" if found.done else "Would be deleted"
    if found.deleted:
        rows = (_row(entry, now) for entry in found.deleted)
        print_table(console, title, ("name", *_COLUMNS), rows)
    if found.kept:
        rows_kept = ((_text(entry.name), _text(entry.reason)) for entry in found.kept)
        print_table(console, "Kept after all", ("name", "why"), rows_kept)
    freed = size_text(found.freed_bytes)
    if found.done:
        _say(console, f"\n{freed} freed; {size_text(found.num_bytes)} stay")
    else:
        _say(
            console,
            f"\n{freed} would be freed and {size_text(found.num_bytes)} stay; nothing was "
            "deleted, --yes does it",
        )


def show_copied(console: Console, found: CopiedUnit) -> None:
    """What was exported, and where it is."""
    size = size_text(found.num_bytes)
    _say(console, f"{_text(found.unit)}: {size} in {_text(found.path, 4096)}")


class VerifyProgress:
    """A bar with the time left on a terminal; a line every ten seconds elsewhere."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._first: Verifying | None = None
        self._last = 0.0
        self._bar: Progress | None = None

    def show(self, event: Event) -> None:
        """Draw one event."""
        if not isinstance(event, Verifying):
            return
        self._first = self._first or event
        if self._console.is_terminal:
            self._move(event)
        elif event.time - self._last >= _PLAIN_SECONDS and event.item:
            self._last = event.time
            _say(self._console, f"verify: {_amount(event)}{self._left(event)}")

    def close(self) -> None:
        """Leave the terminal as it was."""
        if self._bar is not None:
            self._bar.stop()

    def _left(self, event: Verifying) -> str:
        assert self._first is not None  # set by the only caller
        done, seconds = event.done - self._first.done, event.time - self._first.time
        if done <= 0 or seconds <= 0:
            return ""
        return f", ETA {duration_text((event.total - event.done) * seconds / done)}"

    def _move(self, event: Verifying) -> None:
        if self._bar is None:
            self._bar = Progress(
                TextColumn("verify"),
                BarColumn(bar_width=30),
                TaskProgressColumn(),
                TextColumn("{task.fields[amount]}", markup=False),
                TimeRemainingColumn(),
                console=self._console,
            )
            self._bar.add_task("verify", total=event.total, amount="")
            self._bar.start()
        self._bar.update(self._bar.task_ids[0], completed=event.done, amount=_amount(event))


def _amount(event: Verifying) -> str:
    return amount_text(event.done, event.total, "bytes")


def _row(entry: CacheEntry, now: float) -> tuple[str, ...]:
    return (
        _text(entry.name),
        entry.stage,
        _text(entry.item),
        size_text(entry.num_bytes),
        _age(now - entry.made),
        _age(now - entry.used),
        _runs(entry),
        _state(entry),
    )


def _runs(entry: CacheEntry) -> str:
    named = [f"{_text(run.name)} ({run.state})" for run in entry.runs[-_MAX_RUNS:]]
    more = len(entry.runs) - len(named)
    return ", ".join([*named, *([f"{more} more"] if more else [])])


def _state(entry: CacheEntry) -> str:
    if entry.kind == "foreign":
        return "not ours: never followed or deleted"
    state = {"building": "not finished", "download": "partial"}.get(entry.kind)
    whole = "copied, not verified" if entry.unverified else "whole"
    state = state or (whole if entry.whole else "DAMAGED")
    return f"{state}, held: {_text(entry.held_by)}" if entry.held_by else state


def _age(seconds: float) -> str:
    for size, unit in _AGES:
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return "now"


def _text(text: str, most: int = _MAX_TEXT) -> str:
    """Harmless, and no longer than a line of a table should be."""
    plain = sanitize(text.replace("\n", "?").replace("\r", "?"))
    return plain if len(plain) <= most else f"{plain[: most - 3]}..."


def _say(console: Console, text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)
