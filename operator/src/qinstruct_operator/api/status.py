"""The status, which only the operator writes; every field is optional."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from qinstruct_operator.api.field_types import ApiModel

_TEXT = 32768  # the API's own limit on a condition's message; bounds all free text here
MAX_SOURCES = 32
MAX_FAILURES = 10
MAX_COUNT = 10_000  # more than any spec allows
MAX_INTEGER = 2**53  # what every reader of JSON keeps exactly
MAX_ATTEMPT = 99999  # as many digits as fit into a name
_TIME = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$"

Seconds = Annotated[int, Field(ge=0, le=MAX_INTEGER)]
"""GPUs times seconds, or seconds."""

Time = Annotated[
    str, Field(max_length=32, pattern=_TIME, json_schema_extra={"format": "date-time"})
]
"""A moment in UTC, RFC 3339."""

FailureKind = Literal["Disruption", "Transient", "Permanent"]
"""What a failure means for the run."""


class _Observed(ApiModel):
    """A piece of status; what a newer operator wrote beside it is skipped, not refused."""

    model_config = ConfigDict(extra="ignore", validate_by_name=True, validate_by_alias=True)


class Condition(_Observed):
    """One aspect of the run's state, as in meta/v1."""

    type: str = Field(
        min_length=1, max_length=316, description="Accepted, Prepared, Running, Complete, Failed."
    )
    status: Literal["True", "False", "Unknown"] = Field(description="Whether it holds.")
    reason: str = Field(
        min_length=1, max_length=1024, description="One CamelCase word, for machines."
    )
    message: str = Field(max_length=_TEXT, description="A sentence, for people.")
    last_transition_time: Time = Field(description="When status last changed.")
    observed_generation: int | None = Field(
        default=None, ge=0, description="Generation of the spec that it describes."
    )


class SourceStatus(_Observed):
    """How far one source of the data is."""

    name: str = Field(min_length=1, max_length=256, description="Key of the source in spec.data.")
    state: str = Field(
        max_length=64,
        description="Waiting (for its turn, or for the run in waitingFor), Fetching, Extracting, "
        "Ready, or Cached: it was in the cache already.",
    )
    done: int | None = Field(default=None, ge=0, description="Fetched so far, in unit.")
    total: int | None = Field(
        default=None,
        ge=0,
        description="All there is to fetch, in unit; before that has begun, as it was published.",
    )
    unit: str | None = Field(
        default=None, max_length=16, description="bytes, or files where it is no single file."
    )
    eta: str | None = Field(
        default=None, max_length=64, description="Time left of what is being done to it, e.g. 12m."
    )


class PrepStatus(_Observed):
    """How far preparation is."""

    stage: str | None = Field(
        default=None, max_length=64, description="fetch, extract, gate, merge, model or index."
    )
    item: str | None = Field(default=None, max_length=256, description="What the stage works on.")
    done: int | None = Field(default=None, ge=0, description="Done so far, in unit.")
    total: int | None = Field(default=None, ge=0, description="All there is, in unit.")
    unit: str | None = Field(default=None, max_length=16, description="bytes, files or records.")
    waiting_for: str | None = Field(
        default=None, max_length=253, description="Run that is building what this one needs."
    )
    sources: Annotated[tuple[SourceStatus, ...] | None, Field(strict=False)] = Field(
        default=None,
        max_length=MAX_SOURCES,
        description="How far each source of the data is, in the order of the work.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
    )
    downloads_eta: str | None = Field(
        default=None,
        max_length=64,
        description="Time left of all sources' downloads at the present rate, e.g. 3h05m; without "
        "extraction, which comes between. None while the size of one is unknown.",
    )


class TrainingStatus(_Observed):
    """How far training is."""

    step: int | None = Field(default=None, ge=0, description="Optimizer steps done.")
    steps: int | None = Field(default=None, ge=0, description="Optimizer steps of the run.")
    loss: float | None = Field(default=None, description="Loss of the newest step.")
    samples_per_second: float | None = Field(default=None, description="All processes together.")
    tokens_per_second: float | None = Field(default=None, description="All processes together.")
    restarts: int | None = Field(
        default=None, ge=1, description="How often this pod has started its processes again."
    )
    lost_seconds: float | None = Field(
        default=None,
        ge=0,
        description="What these restarts have cost, from each failure to the first new step.",
    )


class CheckpointStatus(_Observed):
    """The newest verified checkpoint."""

    step: int = Field(ge=0, description="Step after which it was saved.")
    time: Time = Field(description="When it was published.")


class FailureStatus(_Observed):
    """Why the newest failed attempt ended."""

    reason: str = Field(
        min_length=1, max_length=256, description="One CamelCase word, for machines."
    )
    message: str | None = Field(
        default=None, max_length=_TEXT, description="What went wrong and what to do."
    )
    exit_code: int | None = Field(default=None, description="Exit code of the container.")
    attempt: int | None = Field(default=None, ge=1, description="Which attempt it was.")
    log_tail: str | None = Field(
        default=None, max_length=_TEXT, description="Last lines of the container's log."
    )


class AttemptFailure(_Observed):
    """How one attempt to train ended that did not end well."""

    attempt: int = Field(ge=1, le=MAX_ATTEMPT, description="Which attempt it was.")
    kind: FailureKind = Field(
        description="Disruption: the cluster or a person took its place. Transient: it may pass. "
        "Permanent: it would end the same way again."
    )
    reason: str = Field(
        min_length=1, max_length=256, description="One CamelCase word, for machines."
    )
    exit_code: int | None = Field(default=None, description="Exit code of the container.")
    time: Time = Field(description="When it ended.")
    node: str | None = Field(default=None, max_length=253, description="Node of its pod.")
    step: int | None = Field(default=None, ge=0, description="Optimizer steps done by then.")
    lost_steps: int | None = Field(
        default=None, ge=0, description="Of these, steps since the newest checkpoint."
    )


class RecoveryStatus(_Observed):
    """What the failures of attempts have used up of spec.recovery."""

    retries: int = Field(
        default=0, ge=0, le=MAX_COUNT, description="Transient failures so far, of all attempts."
    )
    disruptions: int = Field(
        default=0, ge=0, le=MAX_COUNT, description="Disruptions so far, of all attempts."
    )
    next_attempt_time: Time | None = Field(
        default=None, description="When the next attempt begins; none while one is under way."
    )
    failures: Annotated[tuple[AttemptFailure, ...], Field(strict=False)] = Field(
        default=(),
        max_length=MAX_FAILURES,
        description="The newest failed attempts, the last one at the end.",
        json_schema_extra={
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["attempt"],
        },
    )


class UnreadStatus(_Observed):
    """A part of the run that cannot be read now; what was known of it is kept."""

    what: str = Field(
        min_length=1,
        max_length=64,
        description="prep, training, pods, support, log, events or node.",
    )
    since: Time = Field(description="When the first read in a row failed.")
    message: str = Field(max_length=_TEXT, description="What was asked, and the server's answer.")


class HeldStatus(_Observed):
    """What it takes to add up the GPU-hours of all pods."""

    pod: str = Field(max_length=253, description="Uid of the newest pod, whose hours may grow.")
    earlier_hours: float = Field(ge=0, description="GPU-hours of all pods before it.")


class GpuSecondsStatus(_Observed):
    """Where the GPUs' time went: GPUs times seconds. All but queued add up to gpuHours."""

    queued: Seconds = Field(
        default=0,
        description="Waited for GPUs since the data were prepared: for a queue, a node, another "
        "attempt. None were held; it is counted at each write of the status.",
    )
    starting: Seconds = Field(
        default=0, description="From the node until the first step begins: image, imports, model."
    )
    productive: Seconds = Field(
        default=0, description="Steps that are not taken again, export and evaluation."
    )
    saving: Seconds = Field(
        default=0, description="Stood still for a checkpoint, and ended when asked to."
    )
    lost: Seconds = Field(
        default=0, description="Steps that failures have undone, and restarts in place."
    )
    stalled: Seconds = Field(
        default=0, description="Held and not used: a rank, a pod or a container beside it hung."
    )
    waiting_since: Time | None = Field(
        default=None, description="What is waited is added to queued from then on."
    )
    first_step: int | None = Field(
        default=None, ge=0, description="Step from which on the productive ones are counted."
    )
    last_step: int | None = Field(default=None, ge=0, description="The last of them that counts.")


class Status(_Observed):
    """What was observed of the run."""

    observed_generation: int | None = Field(
        default=None, ge=0, description="Generation of the spec that this status describes."
    )
    conditions: Annotated[tuple[Condition, ...], Field(strict=False)] = Field(
        default=(),
        max_length=16,
        description="The run's state, one condition an aspect.",
        json_schema_extra={
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["type"],
        },
    )
    phase: str | None = Field(
        default=None,
        max_length=64,
        description="Summary of the conditions, for people; programs read the conditions.",
    )
    progress: str | None = Field(
        default=None, max_length=64, description="Progress of the present phase, e.g. 43%."
    )
    eta: str | None = Field(
        default=None, max_length=64, description="Time left of the present phase, e.g. 1h 12m."
    )
    attempt: int | None = Field(
        default=None,
        ge=0,
        le=MAX_ATTEMPT,
        description="Number of the newest attempt; none before its training workload exists.",
    )
    queue: str | None = Field(
        default=None, max_length=253, description="Queue that the run waits in or came from."
    )
    image: str | None = Field(
        default=None,
        max_length=1024,
        description="Image of the training pod, the same in every attempt.",
    )
    node: str | None = Field(default=None, max_length=253, description="Node of the training pod.")
    gpu_hours: float | None = Field(
        default=None, ge=0, description="GPU-hours held by all pods of all attempts so far."
    )
    held: HeldStatus | None = Field(
        default=None, description="What it takes to add up the GPU-hours of all pods."
    )
    gpu_seconds: GpuSecondsStatus | None = Field(
        default=None, description="What the GPUs' time went into; none without GPUs."
    )
    goodput: str | None = Field(
        default=None, max_length=64, description="The productive part of gpuHours, e.g. 93%."
    )
    prep: PrepStatus | None = Field(default=None, description="How far preparation is.")
    training: TrainingStatus | None = Field(default=None, description="How far training is.")
    checkpoint: CheckpointStatus | None = Field(
        default=None, description="The newest verified checkpoint."
    )
    failure: FailureStatus | None = Field(
        default=None, description="Why the newest failed attempt ended."
    )
    recovery: RecoveryStatus | None = Field(
        default=None, description="What failed attempts have used up; none where none has failed."
    )
    unread: Annotated[tuple[UnreadStatus, ...] | None, Field(strict=False)] = Field(
        default=None,
        max_length=16,
        description="What could not be read at the last look; what was known of it is kept.",
        json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["what"]},
    )
    model: str | None = Field(
        default=None, max_length=1024, description="Claim and path of the finished model."
    )
