"""A state of a run, with the phase and the conditions that must be judged from it."""

from dataclasses import dataclass, field
from typing import Any

from qinstruct_operator.constants import (
    CONDITION_ACCEPTED,
    CONDITION_COMPLETE,
    CONDITION_FAILED,
    CONDITION_PREPARED,
    CONDITION_RUNNING,
    CONDITION_SCHEDULED,
)
from qinstruct_operator.core.judge.observe import Snapshot
from qinstruct_operator.errors import Violation
from support.observed import (
    COMPLETE,
    JOB_FAILED,
    SUCCEEDED,
    Raw,
    condition,
    failed_event,
    lines,
    prep_job,
    pytorchjob,
    running,
    saved_event,
    start_event,
    step_event,
)

A, P, S, R, C, F = (
    CONDITION_ACCEPTED,
    CONDITION_PREPARED,
    CONDITION_SCHEDULED,
    CONDITION_RUNNING,
    CONDITION_COMPLETE,
    CONDITION_FAILED,
)
YES, NO = "True", "False"
PREP, DONE = prep_job(), prep_job(COMPLETE)
PREP_FAILED = prep_job(condition("Failed", "PodFailurePolicy", "exit code 65"))
JOB, JOB_DONE, JOB_LOST = pytorchjob(), pytorchjob(SUCCEEDED), pytorchjob(JOB_FAILED)
BAD = failed_event("BadData", "record 7 is broken; mend it", 65)
SENTENCE = "record 7 is broken; mend it"

# What every run says before it has come so far.
NOT_YET = {
    A: (YES, "Accepted"),
    S: (NO, "WaitingForData"),
    R: (NO, "WaitingForData"),
    C: (NO, "InProgress"),
    F: (NO, "InProgress"),
}
PREPARED = NOT_YET | {P: (YES, "Prepared"), R: (NO, "WaitingForNode")}


@dataclass(frozen=True)
class Case:
    snapshot: Snapshot
    phase: str
    conditions: dict[str, tuple[str, str]]
    previous: Snapshot | None = None  # judged before
    violations: tuple[Violation, ...] = ()
    refused: str = ""
    says: tuple[str, str] | None = None  # a condition and its message
    fields: dict[str, Any] = field(default_factory=dict)


def of_prep(
    job: Raw, *pods: Raw, log: tuple[str, ...] = (), node: tuple[Raw, ...] | None = None
) -> Snapshot:
    return Snapshot(prep=job, pods=pods, log=log, node=node)


def of_training(
    job: Raw, *pods: Raw, log: tuple[str, ...] = (), node: tuple[Raw, ...] | None = None
) -> Snapshot:
    return Snapshot(prep=DONE, training=job, pods=pods, log=log, node=node)


def beside(container: str, state: Raw) -> list[Raw]:
    """Statuses of our container and of one that an admission webhook put into its pod."""
    return [{"name": "istio-proxy", "state": running()}, {"name": container, "state": state}]


TRAINING_LOG = lines(start_event(), step_event(42), saved_event(42), step_event(43))
