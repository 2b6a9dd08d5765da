"""The one-line JSON events that prep and training print to stdout.

The operator folds them into status, local mode into progress bars, `qinstruct logs` into
text. Version 1: fields may be added, never renamed; a reader skips what it does not know.
Torch-free. Durations are seconds, sizes bytes, rates per second of all processes together.

An event is news only if our process has printed it, and not a name in its data or a library: each
line carries the word that this process was given when it began, which nothing older can know.
"""

import json
import os
import sys
import time
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)

from qinstruct_trainer.contract.safe_text import one_line

EVENTS_VERSION: Literal[1] = 1
_START = "{"  # of each event's line, and of no other line that we print
TERMINATION_LOG_ENV = "QINSTRUCT_TERMINATION_LOG"
WRITER_ENV = "QINSTRUCT_WRITER"
"""Says who writes the events: in a pod that pod's uid, in local mode a random word."""
_MAX_TERMINATION_BYTES = 4096  # the kubelet's limit on a termination message


class _Event(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")
    v: Literal[1] = EVENTS_VERSION
    time: float = Field(default_factory=time.time, description="Unix time in seconds.")
    writer: str | None = Field(default=None, description="Who printed it, as `WRITER_ENV` says.")


Stage = Literal["fetch", "extract", "gate", "pixels", "merge", "model", "index"]


Quantity = Literal["bytes", "files", "records"]
SourceState = Literal["Waiting", "Fetching", "Extracting", "Ready", "Cached"]


class SourceProgress(BaseModel):
    """How far one source is; `contract.sources` says what an event changes about it."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    name: str = Field(description="Key in the table of sources, e.g. q-instruct-images.")
    state: SourceState = Field(description="Cached: it was there before prep began.")
    done: int | None = Field(default=None, description="Fetched, in `unit`; None: nothing yet.")
    total: int | None = Field(default=None, description="All there is, or as it was published.")
    unit: Quantity = "bytes"


def _known_or_none(rows: object, read: ValidatorFunctionWrapHandler) -> object:
    """Rows with a state or a unit of a newer version are not read; the rest of the event is."""
    try:
        return read(rows)
    except ValidationError:
        return None


class _OfPrep(_Event):
    """What prep says while it works on an item.

    A reader may see no more than the end of a log. So every change of a source's state, and an
    event every few seconds, says how far all of them are.
    """

    stage: Stage
    item: str = Field(description="Source or model the stage works on.")
    sources: Annotated[tuple[SourceProgress, ...] | None, WrapValidator(_known_or_none)] = Field(
        default=None, description="All sources, in the order of the work; None: not said here."
    )


class PrepProgress(_OfPrep):
    """A stage of prep moved on; `done` of `total` (None: unknown) in `unit`."""

    event: Literal["prep"] = "prep"
    done: int
    total: int | None = None
    unit: Quantity
    cached: bool = Field(default=False, description="The finished unit was already there.")


class PrepWaiting(_OfPrep):
    """Another run builds the same unit; this one waits for it."""

    event: Literal["waiting"] = "waiting"
    owner: str = Field(description="Name of the run that holds the lease.")


class PrepDone(_Event):
    """prepared.json is written."""

    event: Literal["prepared"] = "prepared"
    num_records: int
    num_dropped: int
    path: str


class Verifying(_Event):
    """`qinstruct cache verify` reads on: `done` of `total` bytes."""

    event: Literal["verify"] = "verify"
    item: str = Field(description="Name of the unit.")
    done: int
    total: int


class Start(_Event):
    """Training is about to take its first step (or the next one, after a resume)."""

    event: Literal["start"] = "start"
    step: int = Field(description="Steps already done: 0, or the checkpoint's.")
    steps: int
    world_size: int
    num_records: int
    parameters: int
    trainable: int
    device: str
    restarts: int | None = Field(
        default=None,
        ge=1,
        description="How often the ranks were started again in place; None: never.",
    )


class Step(_Event):
    """One optimizer step."""

    event: Literal["step"] = "step"
    step: int
    steps: int
    loss: float
    learning_rate: float
    gradient_norm: float
    tokens: int = Field(description="Tokens of this step, padding left out, all processes.")
    seconds: float
    samples_per_second: float
    tokens_per_second: float
    eta_seconds: float
    mfu: float | None = Field(default=None, description="Model FLOPs utilisation; None on CPU.")
    memory_bytes: int = Field(description="Peak device memory, or the process's RSS on CPU.")
    restarts: int | None = Field(default=None, ge=1, description="As in `Start`.")
    lost_seconds: float | None = Field(
        default=None,
        ge=0,
        allow_inf_nan=False,
        description="What restarts in place have cost, each from the failure to the first step "
        "that had not been taken before it.",
    )


class Checkpoint(_Event):
    """A checkpoint is complete, verified and published."""

    event: Literal["checkpoint"] = "checkpoint"
    step: int
    path: str
    num_bytes: int
    seconds: float = Field(description="From its step until it was published.")
    blocked_seconds: float | None = Field(
        default=None,
        ge=0,
        allow_inf_nan=False,
        description="How long the run has stood still for it.",
    )
    write_seconds: float | None = Field(
        default=None,
        ge=0,
        allow_inf_nan=False,
        description="How long the slowest rank has written, beside the run's steps or not.",
    )


class Exported(_Event):
    """The model is written in the hub layout and was loaded back."""

    event: Literal["exported"] = "exported"
    path: str
    num_bytes: int


class Answer(BaseModel):
    """One held-out question and what the model says."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    image: str
    kind: str
    question: str
    expected: str
    answered: str


class Evaluated(_Event):
    """Accuracy on the held-out questions; fractions between 0 and 1."""

    event: Literal["evaluated"] = "evaluated"
    model: Literal["untrained", "trained"]
    questions: int
    accuracy: float
    majority: float = Field(description="Always giving each kind's most frequent answer.")
    by_kind: dict[str, float]
    majority_by_kind: dict[str, float] = {}
    examples: tuple[Answer, ...] = ()


class Evaluation(BaseModel):
    """evaluation.json: the starting model and the trained one on the same questions."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    untrained: Evaluated
    trained: Evaluated


class StoppedEvent(_Event):
    """Asked to stop: the checkpoint is saved, the exit code is 75."""

    event: Literal["stopped"] = "stopped"
    step: int
    steps: int


class Failed(_Event):
    """The run cannot go on; `message` says why and what to do."""

    event: Literal["failed"] = "failed"
    reason: str
    message: str
    exit_code: int
    step: int | None = None


class Restarting(_Event):
    """The ranks have failed, and are started again in place: the event before it is not the end."""

    event: Literal["restarting"] = "restarting"
    reason: str = Field(description="Of the failure, as in `Failed`.")
    message: str = Field(description="What failed, without what to do about it.")
    exit_code: int
    retry: int = Field(description="Which retry in place this is, counted from 1.")
    retries: int = Field(description="How many there may be.")
    step: int | None = Field(default=None, description="The last step that was taken.")
    checkpoint_seconds: float | None = Field(
        default=None,
        ge=0,
        allow_inf_nan=False,
        description="Time since the step whose state the newest checkpoint has.",
    )


class Complete(_Event):
    """Everything is done."""

    event: Literal["complete"] = "complete"
    model: str


Event = (
    PrepProgress
    | PrepWaiting
    | PrepDone
    | Verifying
    | Start
    | Step
    | Checkpoint
    | Exported
    | Evaluated
    | StoppedEvent
    | Failed
    | Restarting
    | Complete
)
_ADAPTER: TypeAdapter[Event] = TypeAdapter(Annotated[Event, Field(discriminator="event")])


def emit(event: Event) -> None:
    """Print the event, and leave final ones as the termination message."""
    line = _line(event)
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
    if isinstance(event, PrepDone | StoppedEvent | Failed | Complete):
        _write_termination_message(line)


def say(text: str) -> None:
    """Print a sentence to stderr as one line that is no event, whatever it quotes.

    A container's log has both streams in it.
    """
    sys.stderr.write(plain_line(text) + "\n")


def plain_line(text: str) -> str:
    """The text as one line that no reader takes for an event."""
    line = one_line(text)
    return f"({line}" if line.startswith(_START) else line


def parse_line(line: str, writer: str | None) -> Event | None:
    """The event on a line of output, or None: other text, an unknown kind, a newer version.

    Args:
        line: Without its end.
        writer: Whose lines count; None: everybody's, of a file that only our process writes, or
            of a pod that an older version made.
    """
    if not line.startswith(_START):
        return None
    try:
        event = _ADAPTER.validate_json(line)
    except ValidationError:
        return None
    return event if writer in (None, event.writer) else None


def read_termination_message() -> Event | None:
    """The final event that this container wrote last, or None."""
    path = termination_log()
    try:
        return parse_line(path.read_text("utf-8", errors="replace"), os.environ.get(WRITER_ENV))
    except OSError:
        return None


def clear_termination_message() -> None:
    """Forget the final event: what comes is another try, whose end is still open."""
    try:
        termination_log().write_text("", "utf-8")
    except OSError:
        return


def termination_log() -> Path:
    """Where the kubelet (or local mode) reads the final event of a container."""
    return Path(os.environ.get(TERMINATION_LOG_ENV, "/dev/termination-log"))


def write_termination_message(event: Event) -> None:
    """Leave a final event without printing it: for a rank whose stdout is not the run's."""
    _write_termination_message(_line(event))


def _line(event: Event) -> str:
    signed = event.model_copy(update={"writer": os.environ.get(WRITER_ENV)})
    return signed.model_dump_json(exclude_none=True)


def _write_termination_message(line: str) -> None:
    """Best effort: outside a container the file may not be writable, and that is no error."""
    if len(line.encode()) > _MAX_TERMINATION_BYTES:
        short = json.loads(line)
        short["message"] = short.get("message", "")[: _MAX_TERMINATION_BYTES // 8]
        line = json.dumps(short, ensure_ascii=False)  # 4 bytes at most, not 12 of \u escapes
    try:
        termination_log().write_text(line, "utf-8")
    except OSError:
        return
