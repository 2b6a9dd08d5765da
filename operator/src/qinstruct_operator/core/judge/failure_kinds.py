"""What a failure of training means for its run: a table with a row for each case. Pure."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from qinstruct_operator.api.status import FailureKind, FailureStatus
from qinstruct_operator.core.judge import reasons
from qinstruct_operator.core.judge.kubelet_words import WORDS
from qinstruct_operator.core.judge.pods import Pod
from qinstruct_trainer.contract.errors import (
    BUG,
    EXIT_CONFIG,
    EXIT_DATA,
    EXIT_SOFTWARE,
    EXIT_STOPPED,
    ConfigError,
    DataError,
    NonFiniteLossError,
    Stopped,
)

_STATUS_UNKNOWN: Final = "ContainerStatusUnknown"
_FAULTS: Final = (EXIT_DATA, EXIT_SOFTWARE, EXIT_CONFIG)
_STOPPED: Final = (EXIT_STOPPED, 143)


@dataclass(frozen=True)
class Ended:
    """How an attempt ended.

    Attributes:
        failure: why.
        pod: its newest; None where it is gone.
        again: an earlier attempt failed for the same reason after the same step.
    """

    failure: FailureStatus
    pod: Pod | None = None
    again: bool = False

    @property
    def is_unknown(self) -> bool:
        """Whether its reason says nothing to this version: another trainer's, or none."""
        return self.failure.reason == reasons.ERROR or self.failure.reason not in reasons.FAILURES

    @property
    def container_reason(self) -> str:
        """What the kubelet says of our container's end."""
        return self.pod.container.reason if self.pod and self.pod.container else ""


@dataclass(frozen=True)
class Case:
    """One row: a way to end, and what it means."""

    what: str
    kind: FailureKind
    holds: Callable[[Ended], bool]


def _is(*names: str) -> Callable[[Ended], bool]:
    return lambda ended: ended.failure.reason in names


# https://github.com/kubernetes/kubernetes/blob/v1.37.2/pkg/kubelet/eviction/eviction_manager.go
_OWN_LIMIT: Final = re.compile(
    "exceeded its local ephemeral storage limit|exceeds the total limit of containers"
    "|exceeds the limit"
)


def _used_too_much(ended: Ended) -> bool:
    """Whether the pod was evicted for more than its own limit, which no other node raises."""
    pod = ended.pod
    return bool(pod and pod.reason == reasons.EVICTED and _OWN_LIMIT.search(pod.message))


def _was_being_deleted(ended: Ended) -> bool:
    """Whether that was so when it ended; somebody may clean up one that has failed."""
    pod = ended.pod
    if pod is None or pod.deleted is None:
        return False
    end = pod.container.finished if pod.container else pod.ended
    return end is None or pod.deleted <= end


CASES: Final = (
    Case(
        "its own deadline has come",
        "Permanent",
        lambda ended: bool(ended.pod and ended.pod.reason == reasons.DEADLINE_EXCEEDED),
    ),
    Case(
        "something must be changed first",
        "Permanent",
        _is(
            ConfigError.reason,
            DataError.reason,
            reasons.OUT_OF_MEMORY,
            BUG,
            reasons.DEADLINE_EXCEEDED,
        ),
    ),
    Case(
        "a word that nobody knows, or none, with the exit code of such a fault",
        "Permanent",
        lambda ended: ended.is_unknown and ended.failure.exit_code in _FAULTS,
    ),
    Case(
        "the loss is not finite at the same step once more",
        "Permanent",
        lambda ended: ended.failure.reason == NonFiniteLossError.reason and ended.again,
    ),
    Case("it was evicted because of its own storage limit", "Transient", _used_too_much),
    Case(
        "the cluster took its place: preempted, drained, tainted",
        "Disruption",
        lambda ended: bool(ended.pod and ended.pod.disruption),
    ),
    Case(
        "its kubelet took its place, or shut down",
        "Disruption",
        lambda ended: bool(ended.pod and ended.pod.reason in WORDS),
    ),
    Case("the pod was being deleted", "Disruption", _was_being_deleted),
    Case(
        "its node went away, and nobody saw the container's end",
        "Disruption",
        lambda ended: ended.container_reason == _STATUS_UNKNOWN,
    ),
    Case(
        "it was asked to stop, moved away, refused by a node, or deleted",
        "Disruption",
        _is(
            Stopped.reason,
            reasons.TERMINATED,
            reasons.DISRUPTED,
            reasons.EVICTED,
            reasons.NODE_SHUTDOWN,
            reasons.PREEMPTING,
            reasons.NODE_FULL,
            reasons.NODE_AFFINITY,
            reasons.ADMISSION_ERROR,
            reasons.TOPOLOGY_AFFINITY,
            reasons.NODE_REFUSED,
            reasons.POD_LOST,
            reasons.WORKLOAD_DELETED,
        ),
    ),
    Case(
        "a word that nobody knows, with the exit code of an answer to SIGTERM",
        "Disruption",
        lambda ended: ended.is_unknown and ended.failure.exit_code in _STOPPED,
    ),
    Case("anything else: it may pass, on another node or later", "Transient", lambda _: True),
)
"""Every case; the first that holds decides."""


def case_of(ended: Ended) -> Case:
    """The row that decides."""
    return next(case for case in CASES if case.holds(ended))
