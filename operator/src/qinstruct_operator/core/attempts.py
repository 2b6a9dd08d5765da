"""Attempts to train: their numbers, what they have used up, and when the next begins. Pure.

Each failed attempt was a retry or a disruption, so that attempt n has n - 1 of both before it. The
status and the newest workload say both; whichever is higher counts, so that the
loss of either gives nothing back. Where both are gone, as when a status is lost after the clean-up
by time, the run begins anew, also one that was complete.
"""

import hashlib
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Self

from qinstruct_operator.api.spec_operations import Recovery
from qinstruct_operator.api.status import MAX_COUNT, FailureKind, Status
from qinstruct_operator.constants import (
    ANNOTATION_AVOIDED,
    ANNOTATION_DISRUPTIONS,
    ANNOTATION_RETRIES,
    DNS_NAME,
)
from qinstruct_operator.core.untyped_json import Raw, text

_JITTER: Final = 0.25  # part of a wait: what failed together need not begin together
_DOUBLINGS: Final = 20  # more make no difference to any longest wait
_MAX_AVOIDED: Final = 3  # nodes: a run with more of them has another trouble
_NODE_NAME: Final = re.compile(rf"(?=.{{1,253}}\Z){DNS_NAME}")


@dataclass(frozen=True)
class Spent:
    """How many attempts have failed, by what it counts against."""

    retries: int = 0
    disruptions: int = 0

    @classmethod
    def of_status(cls, status: Status) -> Self:
        """As a status says it."""
        known = status.recovery
        return cls(known.retries, known.disruptions) if known else cls()

    @classmethod
    def of_workload(cls, workload: Raw) -> Self:
        """As a training workload says it of the attempts before it."""
        return cls(_count(workload, ANNOTATION_RETRIES), _count(workload, ANNOTATION_DISRUPTIONS))

    @property
    def total(self) -> int:
        """All of them: the next attempt has the number after it."""
        return self.retries + self.disruptions

    def annotations(self) -> Mapping[str, str]:
        """As the workload of the next attempt says it; empty for the first."""
        counts = {ANNOTATION_RETRIES: self.retries, ANNOTATION_DISRUPTIONS: self.disruptions}
        return {name: str(count) for name, count in counts.items() if self.total}

    def at_least(self, other: Self) -> Self:
        """The higher of each."""
        return type(self)(
            max(self.retries, other.retries), max(self.disruptions, other.disruptions)
        )

    def before(self, attempt: int) -> Self:
        """The same, where an attempt of this number exists: what nobody can tell was disturbed."""
        missing = max(attempt - 1 - self.total, 0)
        return type(self)(self.retries, min(self.disruptions + missing, MAX_COUNT))

    def with_one(self, kind: FailureKind, count: int = 1) -> Self:
        """The same with one failure more, or with -1 less; a permanent one counts for nothing."""
        retries = self.retries + count * (kind == "Transient")
        disruptions = self.disruptions + count * (kind == "Disruption")
        return type(self)(_bounded(retries), _bounded(disruptions))

    def count(self, kind: FailureKind) -> int:
        """How many were of this kind."""
        return {"Transient": self.retries, "Disruption": self.disruptions}.get(kind, 0)


NOTHING: Final = Spent()
"""Before the first attempt."""


def avoided_nodes(failed_on: Sequence[str], before: Sequence[str] = ()) -> tuple[str, ...]:
    """Nodes that the next attempt is kept from: those of two failures, the newest three.

    Args:
        failed_on: the node of each failure that counts, oldest first.
        before: those that the last attempt was kept from.
    """
    twice = [node for n, node in enumerate(failed_on) if node in failed_on[:n]]
    newest_first = dict.fromkeys(reversed([*before, *twice]))
    # A name that is none, typed by somebody, would have the API server refuse the workload.
    names = [node for node in newest_first if _NODE_NAME.fullmatch(node)]
    return tuple(names[:_MAX_AVOIDED][::-1])


def avoided_by(workload: Raw) -> tuple[str, ...]:
    """Nodes that a training workload's pod is kept from, as it says itself."""
    said = text(workload, "metadata", "annotations", ANNOTATION_AVOIDED)
    return avoided_nodes((), said.split(","))


def limit(policy: Recovery, kind: FailureKind) -> int:
    """How many failures of a kind a run may have and go on."""
    limits = {"Transient": policy.max_retries, "Disruption": policy.max_disruptions}
    return limits.get(kind, 0)


def wait_seconds(policy: Recovery, uid: str, attempt: int, failures: int) -> int:
    """From the end of an attempt to the next: twice as long each time, less a little by chance.

    The chance is drawn from the run and the attempt: an operator that is started again draws the
    same.

    Args:
        policy: of the run.
        uid: of the run.
        attempt: that has failed.
        failures: of its kind so far, itself included.
    """
    doubled = policy.backoff_seconds * 2.0 ** min(max(failures - 1, 0), _DOUBLINGS)
    drawn = hashlib.sha256(f"{uid}/{attempt}".encode()).digest()[0] / 255
    return math.ceil(min(doubled, policy.max_backoff_seconds) * (1 - _JITTER * drawn))


def _count(workload: Raw, annotation: str) -> int:
    said = text(workload, "metadata", "annotations", annotation)
    return _bounded(int(said)) if said.isascii() and said.isdecimal() and len(said) < 6 else 0


def _bounded(count: int) -> int:
    return min(max(count, 0), MAX_COUNT)
