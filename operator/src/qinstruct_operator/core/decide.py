"""Decide: which children are due and absent, and when to look again. Pure.

Children are created in stages: preparation first, and the PyTorchJob only once it has
succeeded, so that no GPU waits for data. What exists is left alone: a workload's pod template
cannot change, and a claim may have been grown by an administrator.
"""

from datetime import datetime

from qinstruct_operator.api.status import Status
from qinstruct_operator.constants import CONDITION_PREPARED
from qinstruct_operator.core.children import (
    Manifest,
    build_cache_claim,
    build_config_map,
    build_output_claim,
    build_prep_job,
    build_pytorchjob,
)
from qinstruct_operator.core.judge import conditions as is_
from qinstruct_operator.core.judge.judge import present_attempt
from qinstruct_operator.core.judge.observe import Observed, Workload
from qinstruct_operator.core.plan.types import Plan
from qinstruct_operator.core.raw import moment
from qinstruct_operator.settings import Settings

_FRESH_SECONDS = 180.0  # how long after a change a run that waits is looked at more often
_LATER = 4  # times as long between two looks afterwards


def due(plan: Plan, previous: Status, seen: Observed) -> tuple[Manifest, ...]:
    """The manifests to send now, in order; none for a run that has ended or may not go on.

    The configuration goes with the workload that reads it, so that a pod never sees one that
    was written for another version of its image.
    """
    if is_.is_finished(previous) or seen.taken or seen.leftovers:
        return ()
    prepared = is_.is_true(previous, CONDITION_PREPARED) or seen.is_prepared
    workload = seen.training if prepared else seen.prep
    if workload is not None and (workload.is_over or _has_started(workload)):
        return ()
    claims = (build_cache_claim(plan), build_output_claim(plan))
    absent = [each for each in claims if each and each["metadata"]["name"] not in seen.claims]
    if workload is None:
        attempt = present_attempt(previous)
        job = build_pytorchjob(plan, attempt) if prepared else build_prep_job(plan)
        return (build_config_map(plan), *absent, job)
    return (*(() if seen.config else (build_config_map(plan),)), *absent)


def requeue_after(
    status: Status, seen: Observed, settings: Settings, now: datetime
) -> float | None:
    """Seconds until the next look, if nothing happens before; None for a run that has ended.

    Logs and claims are not watched: their news come with the looks.
    """
    if is_.is_finished(status):
        return None
    if any(work and _has_started(work) for work in (seen.prep, seen.training)):
        return settings.progress_seconds
    times = (moment(each.last_transition_time) for each in status.conditions)
    changed = max((time for time in times if time), default=now)
    waited = (now - changed).total_seconds()
    return settings.waiting_seconds * (1 if waited < _FRESH_SECONDS else _LATER)


def _has_started(workload: Workload) -> bool:
    return workload.pod is not None and workload.pod.has_started
