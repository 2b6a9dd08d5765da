"""Decide: what to do next for a run, and when its next pass is due. Pure.

Children are created in stages: preparation first, and the training workload only once it has
succeeded, so that no GPU waits for data. What exists is left alone: a workload's pod template
cannot change, and a claim may have been grown by an administrator. A workload is only suspended and
let go on, as spec.suspend says.
"""

from dataclasses import dataclass
from datetime import datetime

from qinstruct_operator.api.status import Status
from qinstruct_operator.core.attempts import Spent
from qinstruct_operator.core.children import Child, build_children
from qinstruct_operator.core.condition_list import is_finished
from qinstruct_operator.core.judge.claims import claim_denied, claim_mismatch, content_lost
from qinstruct_operator.core.judge.evidence import Evidence
from qinstruct_operator.core.judge.observe import Observed
from qinstruct_operator.core.judge.suspension import suspension, suspension_due
from qinstruct_operator.core.judge.workloads import Workload
from qinstruct_operator.core.plan.types import Plan
from qinstruct_operator.core.run import Run
from qinstruct_operator.core.times import parse_time, past_time
from qinstruct_operator.settings import Settings

_RECENT_SECONDS = 180.0  # after a change, a waiting run is read at the short interval
_LATER = 2  # factor of that interval afterwards
_AT_LEAST = 1.0  # seconds: two clocks differ by a moment


@dataclass(frozen=True)
class Create:
    """Create a child that does not exist."""

    child: Child


@dataclass(frozen=True)
class Apply:
    """Update an existing child to the plan, by server-side apply."""

    child: Child


@dataclass(frozen=True)
class Patch:
    """Change a workload as it was seen, by a merge patch: the manifest has the change alone."""

    child: Child


Action = Create | Apply | Patch


def decide(run: Run, seen: Observed, now: datetime) -> tuple[Action, ...]:
    """What to send now, in order; nothing for a run that has ended or cannot begin.

    Nothing either beside what could not be read: only what was seen to be absent is created. To
    suspend a workload it need not be known what else is there.
    The configuration goes with the workload that reads it, so that a pod never sees one that
    was written for another version of its image; once data are prepared by it, it stays as it is.
    """
    if run.is_finished or seen.taken or seen.leftovers or seen.may_hide_workloads:
        return ()
    prepared = seen.is_prepared(run)
    workload = seen.training if prepared else seen.prep
    if workload and (suspend := suspension_due(run, seen, workload)) is not None:
        purpose = "suspend" if suspend else "let go on"
        return (Patch(Child(suspension(run, seen, workload, suspend), purpose)),)
    if run.suspend or seen.may_hide_children:
        return ()
    return _creates(run, seen, workload, now)


def _creates(
    run: Run, seen: Observed, workload: Workload | None, now: datetime
) -> tuple[Create | Apply, ...]:
    """What to create or apply beside the present workload, or the next one with what it needs."""
    prepared = seen.is_prepared(run)
    attempt, spent = seen.attempt, Spent.of_status(run.status)
    avoided: tuple[str, ...] = ()
    if seen.has_attempt_ended(run):
        recovery = Evidence.of(run, seen, now).recovery
        if recovery is None or not recovery.is_due(now):
            return ()  # what has failed is written down first, and then time must pass
        workload, attempt = None, attempt + 1
        spent, avoided = recovery.spent, recovery.avoided
    if _needs_nothing(run, seen, workload):
        return ()
    due = _due(run, seen, prepared)
    if due is None:
        return ()
    plan, is_pinned = due
    children = build_children(plan, attempt, spent, avoided)
    absent = [Create(child) for child in children.support if child.id not in seen.support]
    if workload is not None:
        # Another version's configs are not for the image that the workload has.
        is_ours = seen.image in ("", plan.settings.trainer_image)
        return tuple(each for each in absent if is_ours or each.child != children.config)
    if claim_denied(run, seen) or claim_mismatch(run, seen):
        return ()
    config = children.config
    renewed = [Apply(config)] if config.id in seen.support and not is_pinned else []
    return (*renewed, *absent, Create(children.training if prepared else children.prep))


def _due(run: Run, seen: Observed, prepared: bool) -> tuple[Plan, bool] | None:
    """What the children are made from, and whether the ConfigMap stays as it is for that.

    Image, configs and the data that were prepared by them are of one version; only where the spec
    was changed meanwhile are image and configs those of today.
    """
    pin = seen.pin
    if run.is_pinned and pin is not None:
        if plan := run.plan_from(pin):
            return plan, True
        plan = run.plan_with_data_of(pin)  # an edited pin, or one of another version's spec
        return (plan, False) if plan else None
    if run.plan is None:
        return None
    if not prepared or pin is None:
        return run.plan, False
    is_as_prepared = bool(run.status.image) and not run.changes_since(pin)
    if is_as_prepared and (plan := run.plan_from(pin)):
        return plan, True
    plan = run.plan_with_data_of(pin)
    return (plan, False) if plan else None


def _needs_nothing(run: Run, seen: Observed, workload: Workload | None) -> bool:
    """Whether nothing is due beside the present workload, or nothing may be made for the next."""
    if workload is not None and (workload.is_over or workload.has_started):
        return True
    if workload is None and seen.old_pods:
        return True  # it reads the ConfigMap and writes the output: beside it nothing may start
    if content_lost(run, seen):
        return True  # on an empty claim training would begin anew
    return not run.is_pinned and bool(run.fixed_changes_since(seen.pin))


def requeue_after(
    status: Status, seen: Observed, settings: Settings, now: datetime
) -> float | None:
    """Seconds until the next pass without an event; None after the end.

    Logs and claims are not watched, so a pass is the only way to read them.
    """
    if is_finished(status):
        return None
    usual = _usual_seconds(status, seen, settings, now)
    text = status.recovery.next_attempt_time if status.recovery else None
    begins = parse_time(text) if text else None
    if begins is None or begins <= now:
        return usual  # something keeps it from beginning, and may for hours
    return min(usual, max((begins - now).total_seconds(), _AT_LEAST))


def _usual_seconds(status: Status, seen: Observed, settings: Settings, now: datetime) -> float:
    if any(workload and workload.has_started for workload in (seen.prep, seen.training)):
        return settings.progress_seconds
    times = (past_time(each.last_transition_time, now) for each in status.conditions)
    changed = max((time for time in times if time), default=now)
    waited = (now - changed).total_seconds()
    return settings.waiting_seconds * (1 if waited < _RECENT_SECONDS else _LATER)
