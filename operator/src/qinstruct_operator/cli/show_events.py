"""Draw the trainer's events, of a local run or of a pod's log: bars on a terminal, else lines.

`PlainView` throttles by the events' own times, not by a clock, so that the same events always
give the same lines.
"""

from collections.abc import Callable
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn

from qinstruct_operator.cli.humanize import FROM_CACHE, amount_text, duration_text, size_text
from qinstruct_trainer.contract.events import (
    Checkpoint,
    Evaluated,
    Event,
    Exported,
    PrepDone,
    PrepProgress,
    PrepWaiting,
    Restarting,
    Start,
    Step,
)

_PLAIN_SECONDS = 10.0  # after so long without a line of a stage, one is written
_PLAIN_TENTHS = 10  # and one for each tenth of the stage


class View(Protocol):
    """Where the events of a run go."""

    def show(self, event: Event) -> None:
        """Draw one event."""

    def note(self, text: str) -> None:
        """Say one thing that stays on the screen."""

    def close(self) -> None:
        """Leave the terminal as it was."""


def open_view(console: Console) -> View:
    """Bars where the console is a terminal, plain lines where it is a file or a pipe."""
    if console.is_terminal:
        return BarView(console)
    return PlainView(
        lambda text: console.print(text, markup=False, highlight=False, soft_wrap=True)
    )


def _milestone_text(event: Event) -> str | None:
    """The line that an event gets on a terminal and elsewhere alike; None: it has a bar."""
    match event:
        case PrepWaiting():
            return (
                f"{event.stage} {event.item}: waiting for run {event.owner}, which is building it"
            )
        case PrepDone():
            dropped = f", {event.num_dropped:,} dropped" if event.num_dropped else ""
            return f"data ready: {event.num_records:,} records{dropped}"
        case Start():
            begin = f"resuming after step {event.step}" if event.step else "starting"
            return (
                f"{begin}: {event.steps} steps, {event.num_records:,} records, "
                f"{event.trainable:,} of {event.parameters:,} parameters trained, "
                f"{event.world_size} x {event.device}"
            )
        case Checkpoint():
            return _checkpoint_text(event)
        case Restarting():
            return _restarting_text(event)
        case Exported():
            return f"model exported ({size_text(event.num_bytes)})"
        case Evaluated():
            return (
                f"{event.model} model: {event.accuracy:.1%} of {event.questions} held-out "
                f"questions right (majority answer: {event.majority:.1%})"
            )
        case _:
            return None


def _checkpoint_text(event: Checkpoint) -> str:
    waited = event.blocked_seconds
    of_it = f", the run waited {waited:.1f} s" if waited is not None else ""
    size = size_text(event.num_bytes)
    return f"checkpoint after step {event.step} ({size}, {event.seconds:.1f} s{of_it})"


def _restarting_text(event: Restarting) -> str:
    saved = (
        f", {duration_text(event.checkpoint_seconds)} after the last checkpoint"
        if event.checkpoint_seconds is not None
        else ""
    )
    at = f" after step {event.step}{saved}" if event.step is not None else saved
    return (
        f"restarting in place, {event.retry} of {event.retries}{at}: {event.message} "
        f"({event.reason})"
    )


def _step_text(event: Step) -> str:
    return (
        f"loss {event.loss:.4f}  {event.samples_per_second:.1f} samples/s  "
        f"ETA {duration_text(event.eta_seconds)}"
    )


class PlainView:
    """A line for each milestone, each tenth of a stage, and after 10 s without one."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write
        self._last: dict[str, tuple[int, float]] = {}  # stage: tenth and time of its last line

    def show(self, event: Event) -> None:
        """Write the event's line, unless a line of the same stage has just been written."""
        match event:
            case PrepProgress(cached=True):
                self._write(f"{event.stage} {event.item}: {FROM_CACHE}")
            case PrepProgress():
                stage = f"{event.stage} {event.item}"
                if self._due(stage, event.done, event.total, event.time):
                    self._write(f"{stage}: {amount_text(event.done, event.total, event.unit)}")
            case Step():
                if self._due("step", event.step, event.steps, event.time):
                    self._write(f"step {event.step} of {event.steps}  {_step_text(event)}")
            case _:
                text = _milestone_text(event)
                if text is not None:
                    self._write(text)

    def note(self, text: str) -> None:
        """Write the text as it is."""
        self._write(text)

    def close(self) -> None:
        """Nothing to restore."""

    def _due(self, stage: str, done: int, total: int | None, time: float) -> bool:
        tenth = _PLAIN_TENTHS * done // total if total else 0
        last_tenth, last_time = self._last.get(stage, (-1, float("-inf")))
        if tenth == last_tenth and time - last_time < _PLAIN_SECONDS:
            return False
        self._last[stage] = (tenth, time)
        return True


class BarView:
    """A bar for each stage; milestones are printed above the bars."""

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=30),
            TaskProgressColumn(),
            TextColumn("{task.fields[detail]}", markup=False),
            console=console,
        )
        self._bars: dict[str, TaskID] = {}

    def show(self, event: Event) -> None:
        """Move the event's bar, or print its line."""
        match event:
            case PrepProgress():
                amount = amount_text(event.done, event.total, event.unit)
                detail = f"{amount}, {FROM_CACHE}" if event.cached else amount
                self._move(f"{event.stage} {event.item}", event.done, event.total, detail)
            case Step():
                detail = f"{event.step}/{event.steps}  {_step_text(event)}"
                self._move("training", event.step, event.steps, detail)
            case _:
                text = _milestone_text(event)
                if text is not None:
                    self.note(text)

    def note(self, text: str) -> None:
        """Print the text above the bars."""
        self._progress.console.print(text, markup=False, highlight=False)

    def close(self) -> None:
        """Stop drawing; the bars stay where they are."""
        self._progress.stop()

    def _move(self, name: str, done: int, total: int | None, detail: str) -> None:
        self._progress.start()  # not before there is a bar: a refusal shall leave no empty line
        if name not in self._bars:
            self._bars[name] = self._progress.add_task(name, total=total, detail=detail)
        self._progress.update(self._bars[name], completed=done, total=total, detail=detail)
