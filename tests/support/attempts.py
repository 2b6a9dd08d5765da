"""Attempts to train that have failed, and what a pass makes of them."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

from qinstruct_operator.api.status import RecoveryStatus, Status
from qinstruct_operator.core.attempts import Spent
from qinstruct_operator.core.children import build_children
from qinstruct_operator.core.decide import decide
from qinstruct_operator.core.judge.judge import judge
from qinstruct_operator.core.judge.observe import Snapshot, observe
from qinstruct_operator.core.run import Run
from qinstruct_operator.reconcile import status_json
from qinstruct_operator.settings import Settings
from support.observed import (
    COMPLETE,
    CONFIG_ID,
    JOB_FAILED,
    NOW,
    Raw,
    at_time,
    child,
    claim,
    config_map,
    ended,
    failed_event,
    lines,
    pod,
    prep_job,
    saved_event,
    snapshot_of,
    step_event,
    training,
)

CLAIMS = {"x-output": claim(), "qinstruct-cache": claim("qinstruct-cache")}
DONE = prep_job(COMPLETE)
KILLED = lines(saved_event(40), step_event(43), failed_event("Killed", "rank 3 was killed", 137))


def workload(attempt: int, *conditions: Raw, spent: Spent | None = None) -> Raw:
    """The PyTorchJob of an attempt."""
    raw = child("PyTorchJob", f"x-{attempt}", *conditions)
    raw["metadata"]["labels"]["qinstruct.dev/attempt"] = str(attempt)
    if spent:
        raw["metadata"]["annotations"] = spent.annotations()
    return raw


def failed(
    code: int = 137, attempt: int = 1, log: tuple[str, ...] = KILLED, spent: Spent | None = None
) -> Snapshot:
    """An attempt that has failed ten minutes ago, with its pod."""
    job = workload(attempt, at_time(JOB_FAILED, 10), spent=spent)
    pods = (pod(job, ended(code)),)
    return snapshot_of(
        prep=DONE, training=job, pods=pods, log=log, config=config_map(), claims=CLAIMS
    )


def run_with(status: Status | None = None, **spec: Any) -> Run:
    """The run with this status."""
    raw = training(**spec)
    return Run.read(raw | ({"status": status_json(status)} if status else {}), Settings())


def after(snapshot: Snapshot, status: Status | None = None, **spec: Any) -> Status:
    """The status that a pass writes."""
    run = run_with(status, **spec)
    return judge(run, observe(run, snapshot), NOW)


def known(status: Status) -> RecoveryStatus:
    """What a status says of failed attempts."""
    assert status.recovery is not None
    return status.recovery


def due(snapshot: Snapshot, status: Status, minutes: float = 0, **spec: Any) -> list[str]:
    """The training workloads that a pass makes."""
    run = run_with(status, **spec)
    actions = decide(run, observe(run, snapshot), NOW + timedelta(minutes=minutes))
    return [each.child.id[1] for each in actions if each.child.component == "train"]


def pinned(snapshot: Snapshot, **spec: Any) -> Snapshot:
    """The same of a run that was made from such a spec."""
    plan = Run.read(training(**spec), Settings()).plan
    assert plan is not None
    made = build_children(plan).config.manifest
    config = config_map() | {"data": made["data"]}
    return replace(snapshot, support={**snapshot.support, CONFIG_ID: config})
