"""Judge: compute a run's complete status from what was observed. Pure.

Every field is computed anew from the observation and the previous status; the status of a
finished run does not change.
"""

from collections.abc import Mapping
from datetime import datetime

from qinstruct_operator.api.status import FailureStatus, PrepStatus, Status, TrainingStatus
from qinstruct_operator.constants import (
    CONDITION_COMPLETE,
    CONDITION_FAILED,
    CONDITION_PREPARED,
    CONDITION_RUNNING,
)
from qinstruct_operator.core.judge import reasons
from qinstruct_operator.core.judge.conditions import judge_conditions
from qinstruct_operator.core.judge.evidence import Evidence, is_pod_of
from qinstruct_operator.core.judge.goodput import goodput_text, gpu_seconds
from qinstruct_operator.core.judge.gpu_hours import all_gpu_hours, gpu_hours
from qinstruct_operator.core.judge.judged import Judged, renewed_conditions
from qinstruct_operator.core.judge.observe import Observed
from qinstruct_operator.core.judge.phase import phase
from qinstruct_operator.core.judge.progress import (
    eta_text,
    percent_text,
    with_all_ready,
    without_etas,
    without_rates,
)
from qinstruct_operator.core.judge.recovery import recovery_status
from qinstruct_operator.core.judge.unread import is_eta_unknown, keep_known, unread_since
from qinstruct_operator.core.run import Run
from qinstruct_trainer.contract import output_files


def judge(run: Run, seen: Observed, now: datetime) -> Status:
    """The run's new status.

    Args:
        run: with its status as it was read.
        seen: the children, after everything due was applied.
        now: the current time.
    """
    previous, plan = run.status, run.plan
    if run.is_finished:
        return _finished(run)
    evidence = Evidence.of(run, seen, now)
    training = evidence.training
    unread = unread_since(previous, seen.unread, now)
    judged = keep_known(evidence, judge_conditions(evidence), unread, now)
    # A node that cannot be read may be gone, and its GPUs with it.
    of_pod = None if "node" in seen.unread else gpu_hours(plan, seen.training, now, seen.node)
    hours, held = all_gpu_hours(previous, seen.training, of_pod)
    seconds = gpu_seconds(evidence, judged, hours, held)
    return Status(
        observed_generation=run.generation,
        conditions=renewed_conditions(previous, judged, run.generation, now),
        phase=phase(judged),
        progress=_progress(evidence, judged, previous),
        eta=_eta(evidence, judged, previous),
        attempt=seen.attempt if seen.training or evidence.recovery else previous.attempt,
        queue=_queue(run, seen) or None,
        image=seen.image or previous.image,
        node=None if evidence.is_recovering else _node(seen, previous),
        gpu_hours=hours,
        held=held,
        gpu_seconds=seconds,
        goodput=goodput_text(seconds),
        prep=_prep(evidence, judged, previous),
        training=_training(evidence, previous),
        checkpoint=(training and training.checkpoint) or previous.checkpoint,
        failure=evidence.failure or _failure_before(evidence, previous),
        recovery=recovery_status(run, seen, evidence.recovery, now),
        unread=unread or None,
        model=f"{evidence.output_claim}:/{output_files.MODEL}"
        if evidence.output_claim and judged[CONDITION_COMPLETE].is_true
        else previous.model,
    )


def _finished(run: Run) -> Status:
    conditions = tuple(
        each.model_copy(update={"observed_generation": run.generation})
        for each in run.status.conditions
    )
    return run.status.model_copy(
        update={"observed_generation": run.generation, "conditions": conditions}
    )


def _progress(evidence: Evidence, judged: Mapping[str, Judged], previous: Status) -> str | None:
    if judged[CONDITION_COMPLETE].is_true:
        return "100%"
    if evidence.prepared:
        training = (evidence.training and evidence.training.status) or previous.training
        return percent_text(training.step, training.steps) if training else None
    prep = evidence.prep.status if evidence.prep else previous.prep
    if prep is None:
        return None
    return " ".join(filter(None, (prep.stage, percent_text(prep.done, prep.total)))) or None


def _eta(evidence: Evidence, judged: Mapping[str, Judged], previous: Status) -> str | None:
    """Of what is at work: a pod that has ended, or that nobody sees, does not come nearer."""
    if judged[CONDITION_COMPLETE].is_true or judged[CONDITION_FAILED].is_true:
        return None
    if is_eta_unknown(evidence, judged):
        return previous.eta
    running = judged[CONDITION_RUNNING]
    if evidence.prepared:
        is_at_work = running.is_true and running.reason != reasons.SILENT
        at_work = evidence.training if is_at_work else None
        return eta_text(at_work.eta_seconds) if at_work else None
    prep = evidence.prep if _is_preparing(judged) else None
    return eta_text(prep.eta_seconds) if prep else None


def _prep(evidence: Evidence, judged: Mapping[str, Judged], previous: Status) -> PrepStatus | None:
    """How far preparation is; of sources that the end of a log says nothing of, what was known."""
    before = previous.prep and without_etas(previous.prep)
    if evidence.prep is None:
        if before and evidence.prepared:
            return with_all_ready(before)
        return previous.prep if is_eta_unknown(evidence, judged) else before
    prep = evidence.prep.status
    if prep.sources is None and before:
        prep = prep.model_copy(update={"sources": before.sources})
    at_work = _is_preparing(judged) or is_eta_unknown(evidence, judged)
    return prep if at_work else without_etas(prep)


def _is_preparing(judged: Mapping[str, Judged]) -> bool:
    return judged[CONDITION_PREPARED].reason == reasons.PREPARING


def _queue(run: Run, seen: Observed) -> str | None:
    """Of the training workload; before there is one, that which it will have."""
    if seen.training:
        return seen.training.queue
    if seen.is_training_unread:
        return run.status.queue
    return run.plan.queue_name if run.plan else run.status.queue


def _node(seen: Observed, previous: Status) -> str | None:
    """Of the present pod; that of a workload that is over may be deleted already."""
    training = seen.training
    node = training.pod.node if training and training.pod else None
    is_known = seen.is_training_unread or (training is not None and training.is_over)
    return node or (previous.node if is_known else None)


def _training(evidence: Evidence, previous: Status) -> TrainingStatus | None:
    status = evidence.training.status if evidence.training else None
    known = status or _training_before(evidence.seen, previous)
    return without_rates(known) if evidence.is_recovering else known


def _training_before(seen: Observed, previous: Status) -> TrainingStatus | None:
    """How far training was; without a pod that has started, or by another one, at no pace."""
    training = seen.training
    has_pace = training and (training.has_started or training.is_over)
    if training and training.pod and not is_pod_of(previous, training.pod):
        has_pace = False
    keeps = has_pace or seen.is_training_unread
    return previous.training if keeps else without_rates(previous.training)


def _failure_before(evidence: Evidence, previous: Status) -> FailureStatus | None:
    """The failure of a pod that is gone, until its workload has a verdict or another pod.

    That of a prep pod stays while the cluster starts prep again: it says why.
    """
    before, child = previous.failure, evidence.child
    if evidence.seen.may_hide_children:
        return before
    if before is None or child is None or before.attempt != evidence.attempt:
        return None
    if child.verdict != "active" or child.suspended or child.suspended_pod:
        return None
    return before if child.pod is None or not evidence.prepared else None
