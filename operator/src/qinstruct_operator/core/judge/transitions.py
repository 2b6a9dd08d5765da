"""Transitions: what changed from one status to the next, as events for `kubectl describe`. Pure.

An event's name is a hash of what one condition was and has become, so an operator that dies
between posting it and writing the new status, meets a conflict, or is one of two, still posts it
once. A change that repeats while its condition stays true (or false) has the same name, and is told
again once the server has forgotten the event, an hour later.
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
from qinstruct_operator.core.condition_list import find_condition
from qinstruct_operator.core.judge import reasons
from qinstruct_operator.core.judge.gpu_hours import NEWS_GPU_HOURS
from qinstruct_operator.core.judge.waiting import BY_OTHERS
from qinstruct_operator.core.run import Run
from qinstruct_operator.core.times import time_text

_MESSAGE_CHARS = 1024  # the API's limit on an event's message
# Another condition's event says the same, or people need not know.
_SILENT = frozenset(
    {
        reasons.NOT_ACCEPTED,
        reasons.WAITING_FOR_DATA,
        reasons.WAITING_FOR_NODE,
        reasons.IN_PROGRESS,
        reasons.FINISHED,
        reasons.FAILED,
        reasons.PENDING,
        reasons.STARTING,
    }
)
# What a run waits for, or does, once nothing is suspended.
_GOES_ON = frozenset(
    {
        reasons.PENDING,
        reasons.NO_CONTROLLER,
        reasons.POD_REFUSED,
        reasons.GATED,
        reasons.UNSCHEDULABLE,
        reasons.CLAIM_PENDING,
        reasons.IMAGE_UNAVAILABLE,
        reasons.BLOCKED,
        reasons.INITIALIZING,
        reasons.STARTING,
        reasons.RECOVERING,
        reasons.SCHEDULED,
        reasons.PREPARING,
        reasons.WAITING_FOR_RUN,
        reasons.PREPARED,
    }
)
_WARNINGS = reasons.NEEDS_ATTENTION | {
    reasons.RETRYING,
    reasons.RESTARTING,
    reasons.RECOVERING,
    reasons.SIDECAR_RUNNING,
    reasons.UNREADABLE,
    reasons.INVALID_SPEC,
    reasons.NAME_TAKEN,
    reasons.EDIT_IGNORED,
}


def transition_events(run: Run, status: Status, now: datetime) -> tuple[Manifest, ...]:
    """An Event for each condition with another status or reason than in the run's status.

    Conditions that repeat another one's event, or that nobody needs to see, have none. That a run
    goes on which was suspended is an event of its own: what it waits for next may have none.
    """
    told = (*_resumed(run, status), *_changed(run, status))
    return tuple(_event(run, condition, now) for condition in told)


def is_news(before: Status, after: Status) -> bool:
    """Whether a status is worth a write: GPU-hours go with the clock, and alone only count whole.

    Fifty runs at work would otherwise be fifty writes every few seconds that say nothing. What
    they went into is told with them.
    """
    counted = {each: getattr(after, each) for each in ("gpu_hours", "gpu_seconds", "goodput")}
    if before.model_copy(update=counted) != after:
        return True
    return abs((after.gpu_hours or 0) - (before.gpu_hours or 0)) >= NEWS_GPU_HOURS


def _resumed(run: Run, status: Status) -> Iterator[Condition]:
    for condition in status.conditions:
        before = find_condition(run.status, condition.type)
        was_held = before is not None and _is_by_spec(before)
        if was_held and condition.reason in _GOES_ON and run.suspend is False:
            message = f"{run.name} is no longer suspended: {condition.message}"
            yield condition.model_copy(update={"reason": reasons.RESUMED, "message": message})


def _is_by_spec(condition: Condition) -> bool:
    """Whether it is spec.suspend that holds the run, or has and its last pod is still ending."""
    return condition.reason == reasons.SUSPENDED and BY_OTHERS not in condition.message


def _changed(run: Run, status: Status) -> Iterator[Condition]:
    for condition in status.conditions:
        before = find_condition(run.status, condition.type)
        same = before and (before.status, before.reason) == (condition.status, condition.reason)
        failed = (condition.type, condition.status) == (CONDITION_FAILED, "True")
        if condition.status == "Unknown" and condition.reason == reasons.UNREADABLE:
            continue  # a status that nobody could read is no change of the run
        if not same and (failed or condition.reason not in _SILENT):
            yield condition


def _event(run: Run, condition: Condition, now: datetime) -> Manifest:
    before = find_condition(run.status, condition.type)
    was = [before.status, before.reason, before.last_transition_time] if before else []
    identity = [run.uid, *was, condition.type, condition.status, condition.reason]
    digest = hashlib.sha256("\n".join(identity).encode()).hexdigest()[:16]
    # What its user asks for is no reason to worry.
    is_held = condition.reason == reasons.SUSPENDED
    is_asked_for = is_held and (run.suspend or _is_by_spec(condition))
    is_warned_of = condition.reason in _WARNINGS and not is_asked_for
    bad = is_warned_of or (condition.type, condition.status) in (
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
