"""Compute every condition of a run from the evidence. Pure."""

import json
from collections.abc import Iterable
from dataclasses import replace

from qinstruct_operator.api.changes import Change
from qinstruct_operator.constants import (
    CONDITION_ACCEPTED,
    CONDITION_COMPLETE,
    CONDITION_FAILED,
    CONDITION_PREPARED,
    CONDITION_RUNNING,
    CONDITION_SCHEDULED,
)
from qinstruct_operator.core.children.prep_job import FINAL_EXIT_CODES
from qinstruct_operator.core.condition_list import find_condition
from qinstruct_operator.core.judge import overdue, reasons
from qinstruct_operator.core.judge.claims import (
    claim_denied,
    claim_mismatch,
    content_lost,
    volume_lost,
)
from qinstruct_operator.core.judge.evidence import Evidence
from qinstruct_operator.core.judge.judged import Judged, no, unknown, yes
from qinstruct_operator.core.judge.observe import Observed
from qinstruct_operator.core.judge.pods import Pod
from qinstruct_operator.core.judge.progress import restarting_text, restarts_text
from qinstruct_operator.core.judge.reasons import Waiting
from qinstruct_operator.core.judge.recovery import Recovery, may_be_deleted
from qinstruct_operator.core.judge.remains import pods_remain
from qinstruct_operator.core.judge.suspension import (
    goes_on_without,
    not_suspended,
    queue_decides,
    suspended_twice,
)
from qinstruct_operator.core.judge.trouble import why_silent, why_troubled
from qinstruct_operator.core.judge.waiting import why_next_pod_is_refused, why_waiting
from qinstruct_operator.core.judge.workloads import Workload
from qinstruct_operator.core.names import training_name
from qinstruct_operator.core.run import Run
from qinstruct_operator.core.times import past_time, time_text
from qinstruct_operator.errors import Violation
from qinstruct_trainer.contract import output_files

_WITHOUT_POD = frozenset({reasons.PENDING, reasons.NO_CONTROLLER, reasons.POD_REFUSED})
_LOOK = (
    "look at its log (`qinstruct logs`) and its node; if it hangs, delete the pod: what it has "
    "saved is kept"
)


def judge_conditions(evidence: Evidence) -> dict[str, Judged]:
    """Every condition, by its type."""
    accepted = _accepted(evidence)
    failed = _failed(evidence)
    return {
        CONDITION_ACCEPTED: accepted,
        CONDITION_PREPARED: _prepared(evidence, accepted),
        CONDITION_SCHEDULED: _scheduled(evidence, accepted),
        CONDITION_RUNNING: _running(evidence),
        CONDITION_COMPLETE: _complete(evidence, failed),
        CONDITION_FAILED: failed,
    }


def _accepted(evidence: Evidence) -> Judged:
    run, seen = evidence.run, evidence.seen
    goes_on = seen.training is not None or run.goes_on_from(seen.pin)
    if not goes_on and (violations := (*run.violations, *_unfixed(run, seen))):
        return no(reasons.INVALID_SPEC, _sentences(violations))
    if seen.taken:
        names = ", ".join(seen.taken)
        return no(
            reasons.NAME_TAKEN,
            f"{names} is there and was not made for this run; delete it, or choose another name "
            "for the run",
        )
    child = evidence.child
    if run.suspend and child and child.queue and child.verdict == "active":
        return yes(reasons.EDIT_IGNORED, queue_decides(child).sentence())
    if goes_on:
        made = training_name(run.name, seen.attempt)
        return _under_way(run, seen, seen.training.name if seen.training else made)
    return yes(reasons.ACCEPTED, "the spec is a run that this version can train")


def _under_way(run: Run, seen: Observed, name: str) -> Judged:
    """What its training workload was made from counts, not what its spec says now."""
    late = [
        Violation(
            change.field,
            change.after,
            f"{_before(change)} when {name} was made, and has no effect on it",
            "change it back, or delete the run and create it again",
        )
        for change in run.changes_since(seen.pin)
    ]
    if late:
        return yes(reasons.EDIT_IGNORED, _sentences(late))
    if run.violations:
        said = _sentences(run.violations)
        return yes(
            reasons.ACCEPTED,
            f"{name} goes on as it was made, but what the spec says now is refused: {said}",
        )
    return yes(reasons.ACCEPTED, "the spec is a run that this version can train")


def _unfixed(run: Run, seen: Observed) -> tuple[Violation, ...]:
    return tuple(
        Violation(
            change.field,
            change.after,
            f"{_before(change)} when the run was created, and cannot change",
            "change it back, or delete the run and create it again",
        )
        for change in run.fixed_changes_since(seen.pin)
    )


def _before(change: Change) -> str:
    return "was not given" if change.before is None else f"was {json.dumps(change.before)}"


def _sentences(violations: Iterable[Violation]) -> str:
    return "\n".join(each.sentence() for each in violations)


def _prepared(evidence: Evidence, accepted: Judged) -> Judged:
    if evidence.prepared:
        return yes(reasons.PREPARED, "data and model are fetched, checked and indexed")
    if evidence.seen.prep is None:
        return _not_begun(evidence, accepted, _being_created("the prep Job"))
    return _preparing(evidence, evidence.seen.prep)


def _preparing(evidence: Evidence, prep: Workload) -> Judged:
    pod = prep.pod
    if prep.verdict == "failed" and prep.is_over:
        message = evidence.failure.message if evidence.failure else None
        return no(reasons.FAILED, message or prep.message)
    if trouble := _trouble(evidence, prep):
        return no(trouble.reason, trouble.message)
    if pod and pod.is_over:
        return _prep_ended(prep, pod, evidence)
    if pod and pod.is_running:
        if waiting_for := evidence.prep and evidence.prep.status.waiting_for:
            return no(reasons.WAITING_FOR_RUN, f"run {waiting_for} builds what this one needs")
        if silent := _silence(evidence):
            return no(reasons.SILENT, f"{pod.name} on node {pod.node} {silent}; {_LOOK}")
        where = f"{pod.name} prepares data and model on node {pod.node}"
        return no(reasons.PREPARING, where + not_suspended(evidence.seen))
    return _waiting(prep, evidence, CONDITION_PREPARED)


def _prep_ended(prep: Workload, pod: Pod, evidence: Evidence) -> Judged:
    """Its container has ended, and the Job has no verdict yet."""
    failed = evidence.failure
    if pod.is_held_open:
        return _held_open(pod)
    if stalled := why_next_pod_is_refused(prep) or overdue.no_verdict(prep, pod, evidence.now):
        return no(stalled.reason, stalled.message)
    if failed is None or not failed.message:
        return no(reasons.PREPARING, f"{pod.name} has ended")
    if failed.exit_code in FINAL_EXIT_CODES:
        return no(reasons.STOPPING, f"{prep.name} is ending: {failed.message}")
    return no(reasons.RETRYING, f"the cluster starts {prep.name} again: {failed.message}")


def _held_open(pod: Pod) -> Judged:
    names = ", ".join(pod.sidecars)
    return no(
        reasons.SIDECAR_RUNNING,
        f"the work in {pod.name} has ended, but the pod does not, because of {names}, which is "
        "not ours; keep what injects it away from this run's pods, and delete the pod",
    )


def _kept_open(pod: Pod | None) -> str:
    """Of a pod that outlives its workload's end: that it does, as a clause."""
    if pod is None or not pod.is_held_open:
        return ""
    names = ", ".join(pod.sidecars)
    return f", but {names}, which is not ours, keeps {pod.name} open; delete that pod"


def _waiting(workload: Workload, evidence: Evidence, type_: str) -> Judged:
    if lost := content_lost(evidence.run, evidence.seen) or volume_lost(evidence.seen):
        return no(reasons.CLAIM_LOST, lost)
    if evidence.seen.refused:
        return _refused(evidence.seen)
    if what_next := goes_on_without(evidence.run, evidence.seen, workload):
        return no(reasons.SUSPENDED, what_next)
    said = find_condition(evidence.run.status, type_)
    before = Waiting(said.reason, said.message) if said else None
    # A pod that has just vanished is no controller's omission, however long it has been quiet.
    was_without = said is not None and said.reason in _WITHOUT_POD
    now = evidence.now
    since = past_time(said.last_transition_time, now) if said and was_without else now
    why = why_waiting(
        workload,
        evidence.seen.claims,
        now,
        before,
        since,
        may_be_deleted=may_be_deleted(evidence.run, evidence.seen),
    )
    return no(why.reason, why.message + suspended_twice(evidence.run, workload))


def _being_created(child: str) -> Judged:
    return no(reasons.PENDING, f"{child} is being created")


def _not_begun(evidence: Evidence, accepted: Judged, otherwise: Judged) -> Judged:
    """Why there is no workload, or not the next one; otherwise what is given."""
    seen = evidence.seen
    if not accepted.is_true:
        return no(reasons.NOT_ACCEPTED, "the run is not accepted; see condition Accepted")
    # First of all: what a pod still uses is rightly there.
    if seen.old_pods:
        return no(reasons.POD_REMAINS, pods_remain(seen.old_pods, seen.old_nodes, evidence.now))
    if seen.leftovers:
        names = ", ".join(seen.leftovers)
        if stalled := overdue.not_collected(names, evidence.run.created, evidence.now):
            return no(stalled.reason, stalled.message)
        return no(
            reasons.PENDING, f"waits until {names} of an earlier run with this name is deleted"
        )
    for claim_reason, why in (
        (reasons.CLAIM_LOST, content_lost(evidence.run, seen)),
        (reasons.CLAIM_NOT_ALLOWED, claim_denied(evidence.run, seen)),
        (reasons.CLAIM_MISMATCH, claim_mismatch(evidence.run, seen)),
    ):
        if why:
            return no(claim_reason, why)
    return _held_back(evidence, otherwise)


def _held_back(evidence: Evidence, otherwise: Judged) -> Judged:
    """That its user or the cluster does not let it begin; otherwise what is given."""
    if evidence.run.suspend:
        return no(reasons.SUSPENDED, f"held while spec.suspend is true; then {otherwise.message}")
    return _refused(evidence.seen) if evidence.seen.refused else otherwise


def _refused(seen: Observed) -> Judged:
    return no(reasons.REFUSED, f"{seen.refused}; it is tried again until the cluster takes it")


def _scheduled(evidence: Evidence, accepted: Judged) -> Judged:
    training = evidence.seen.training
    if not evidence.prepared:
        return no(reasons.WAITING_FOR_DATA, "no GPU is asked for before the data are prepared")
    if recovery := evidence.recovery if evidence.is_recovering else None:
        return _not_begun(evidence, accepted, no(reasons.RECOVERING, _to_come(evidence, recovery)))
    if training is None:
        if evidence.recovery is not None:
            return no(reasons.FAILED, "the training workload is gone; see condition Failed")
        kind = evidence.run.backend.kind.kind
        return _not_begun(evidence, accepted, _being_created(f"the {kind}"))
    return _has_node(evidence, training)


def _to_come(evidence: Evidence, recovery: Recovery) -> str:
    """That another attempt comes, when, from where and why."""
    last, saved = recovery.failure, evidence.saved_step
    origin = (
        f"the checkpoint after step {saved:,}"
        if saved
        else "its newest checkpoint, if it has saved one"
    )
    begins = f" at {time_text(recovery.begins)}" if recovery.begins else ""
    away = f", not on {', '.join(recovery.avoided)}" if recovery.avoided else ""
    why = evidence.failure and evidence.failure.message
    return (
        f"attempt {last.attempt + 1} begins{begins}{away}, from {origin} ({recovery.which}): "
        f"attempt {last.attempt} failed ({last.reason}): {why or 'no message'}"
    )


def _has_node(evidence: Evidence, training: Workload) -> Judged:
    if training.pod and training.pod.node:
        return yes(reasons.SCHEDULED, f"{training.pod.name} has node {training.pod.node}")
    if training.verdict == "succeeded" and training.is_over:
        if "pods" in evidence.seen.unread:
            return yes(reasons.SCHEDULED, f"{training.name} has succeeded, so its pod had a node")
        return yes(reasons.SCHEDULED, f"{training.name} had a node until its pod was deleted")
    if training.is_over:
        return no(reasons.FAILED, f"{training.name} has failed, and has no pod on a node")
    if trouble := _trouble(evidence, training):
        return no(trouble.reason, trouble.message)
    return _waiting(training, evidence, CONDITION_SCHEDULED)


def _running(evidence: Evidence) -> Judged:
    training = evidence.seen.training
    if not evidence.prepared:
        return no(reasons.WAITING_FOR_DATA, "training starts when the data are prepared")
    if evidence.is_recovering:
        held = _kept_open(training.pod) if training else ""
        return no(reasons.WAITING_FOR_NODE, f"training goes on when its next pod has a node{held}")
    if training is None and evidence.recovery is not None:
        return no(reasons.FAILED, "the training workload is gone")
    if training is not None and training.is_over:
        held = _kept_open(training.pod)
        if training.verdict == "failed":
            return no(reasons.FAILED, f"{training.name} has failed{held}")
        return no(reasons.FINISHED, f"{training.name} has finished{held}")
    if training is None or training.pod is None or training.pod.node is None:
        return no(reasons.WAITING_FOR_NODE, "training starts when its pod has a node")
    return _on_node(evidence, training, training.pod)


def _on_node(evidence: Evidence, training: Workload, pod: Pod) -> Judged:
    if trouble := _trouble(evidence, training):
        judge = unknown if trouble.reason == reasons.NODE_LOST else no
        return judge(trouble.reason, trouble.message)
    if pod.is_over:
        if pod.is_held_open:
            return _held_open(pod)
        if stalled := overdue.no_verdict(training, pod, evidence.now):
            return no(stalled.reason, stalled.message)
        if pod.has_failed:
            why = evidence.failure.message if evidence.failure else None
            return no(reasons.STOPPING, f"{training.name} is ending: {why or 'its pod has ended'}")
        return no(reasons.FINISHED, f"{pod.name} has ended")
    if pod.is_running:
        at_work = _at_work(evidence, f"{pod.name} on node {pod.node}")
        return replace(at_work, message=at_work.message + not_suspended(evidence.seen))
    return _waiting(training, evidence, CONDITION_RUNNING)


def _trouble(evidence: Evidence, workload: Workload) -> Waiting | None:
    """What ends a workload's pod from outside, and what follows where it is to go on then."""
    trouble = why_troubled(workload, evidence.seen.node, evidence.now)
    what_next = goes_on_without(evidence.run, evidence.seen, workload)
    if trouble is None or not what_next:
        return trouble
    return replace(trouble, message=f"{trouble.message}; {what_next}")


def _silence(evidence: Evidence) -> str:
    """Since when the container says nothing; empty where its node's clock is not known."""
    return why_silent(evidence.last_word, evidence.seen.node)


def _at_work(evidence: Evidence, where: str) -> Judged:
    status = evidence.training.status if evidence.training else None
    if silent := _silence(evidence):
        return yes(reasons.SILENT, f"{where} {silent}; {_LOOK}")
    if evidence.training and (restarting := evidence.training.restarting):
        return yes(reasons.RESTARTING, f"{where} {restarting_text(restarting)}")
    exported = evidence.training is not None and evidence.training.exported
    if exported or (status is not None and status.step == status.steps):
        return yes(reasons.FINISHING, f"{where} exports and evaluates the model")
    if status is None:
        return yes(reasons.LOADING, f"{where} loads model and data")
    after = f", after {text}" if (text := restarts_text(status)) else ""
    return yes(reasons.TRAINING, f"{where} trains{after}")


def _complete(evidence: Evidence, failed: Judged) -> Judged:
    training = evidence.seen.training
    if evidence.prepared and training and training.verdict == "succeeded" and training.is_over:
        claim = evidence.output_claim or "of the run's output"
        return yes(
            reasons.COMPLETE, f"the model is in folder {output_files.MODEL} of claim {claim}"
        )
    if failed.is_true:
        return no(reasons.FAILED, "the run has failed; see condition Failed")
    return no(reasons.IN_PROGRESS, "the run is under way")


def _failed(evidence: Evidence) -> Judged:
    failure, follows = evidence.failure, evidence.recovery
    if follows is None:
        child = evidence.child
        is_over = child is not None and child.verdict == "failed" and child.is_over
        has_failed = is_over and not evidence.prepared
    else:
        has_failed = follows.begins is None
    if not has_failed or failure is None:
        return no(reasons.IN_PROGRESS, "nothing has failed for good")
    said = (failure.message or failure.reason, follows.exhausted if follows else "")
    return yes(failure.reason, "; ".join(filter(None, said)))
