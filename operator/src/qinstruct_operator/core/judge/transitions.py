"""Transitions: what changed from one status to the next, as events for `kubectl describe`. Pure.

An event's name is made of the status before it and of what it says, so an operator that dies
between posting it and writing the new status, or finds that somebody else wrote meanwhile, posts
it once all the same.
"""

import hashlib
from collections.abc import Iterator
from datetime import datetime

from qinstruct_operator.api.status import Condition, Status
from qinstruct_operator.constants import (
    API_VERSION,
    CONDITION_ACCEPTED,
    CONDITION_FAILED,
    FIELD_MANAGER,
    KIND,
)
from qinstruct_operator.core.children import Manifest
from qinstruct_operator.core.judge import conditions as is_
from qinstruct_operator.core.judge import waiting
from qinstruct_operator.core.judge.observe import Run
from qinstruct_operator.core.judge.progress import time_text

_MESSAGE_CHARS = 1024  # the API's limit on an event's message
# Said by another condition's event, or no news.
_SILENT = frozenset(
    {
        is_.NOT_ACCEPTED,
        is_.WAITING_FOR_DATA,
        is_.WAITING_FOR_NODE,
        is_.IN_PROGRESS,
        is_.FINISHED,
        is_.FAILED,
        waiting.PENDING,
        waiting.STARTING,
    }
)
_WARNINGS = waiting.TROUBLES | {
    is_.RETRYING,
    is_.SIDECAR_RUNNING,
    is_.INVALID_SPEC,
    is_.NAME_TAKEN,
}


def events(run: Run, previous: Status, status: Status, now: datetime) -> tuple[Manifest, ...]:
    """One event for each condition whose status or reason changed, where that is news."""
    before = previous.model_dump_json(exclude_none=True)
    return tuple(_event(run, before, condition, now) for condition in _news(previous, status))


def _news(previous: Status, status: Status) -> Iterator[Condition]:
    for condition in status.conditions:
        before = is_.find(previous, condition.type)
        same = before and (before.status, before.reason) == (condition.status, condition.reason)
        failed = (condition.type, condition.status) == (CONDITION_FAILED, "True")
        if not same and (failed or condition.reason not in _SILENT):
            yield condition


def _event(run: Run, before: str, condition: Condition, now: datetime) -> Manifest:
    identity = [run.uid, before, condition.type, condition.status, condition.reason]
    digest = hashlib.sha256("\n".join(identity).encode()).hexdigest()[:16]
    bad = condition.reason in _WARNINGS or (condition.type, condition.status) in (
        (CONDITION_FAILED, "True"),
        (CONDITION_ACCEPTED, "False"),
    )
    when = time_text(now)
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{run.name}.{digest}", "namespace": run.namespace},
        "involvedObject": {
            "apiVersion": API_VERSION,
            "kind": KIND,
            "namespace": run.namespace,
            "name": run.name,
            "uid": run.uid,
            "resourceVersion": run.resource_version,
        },
        "type": "Warning" if bad else "Normal",
        "reason": condition.reason,
        "message": condition.message[:_MESSAGE_CHARS],
        "source": {"component": FIELD_MANAGER},
        "reportingComponent": FIELD_MANAGER,
        "firstTimestamp": when,
        "lastTimestamp": when,
        "count": 1,
    }
