"""Judge: compute a run's complete status from what was observed. Pure.

Every field is computed anew from the observation and the previous status; the status of a
finished run does not change.
"""

from collections.abc import Mapping
from datetime import datetime

from qinstruct_operator.api.status import Status
from qinstruct_operator.constants import CONDITION_COMPLETE, CONDITION_FAILED
from qinstruct_operator.core.judge.conditions import judge_conditions
from qinstruct_operator.core.judge.evidence import Evidence
from qinstruct_operator.core.judge.gpu_hours import gpu_hours
from qinstruct_operator.core.judge.judged import Judged, renewed_conditions
from qinstruct_operator.core.judge.observe import Observed
from qinstruct_operator.core.judge.phase import phase
from qinstruct_operator.core.judge.progress import eta_text, percent_text
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
    evidence = Evidence.of(run, seen)
    prep, training = evidence.prep, evidence.training
    judged = judge_conditions(evidence)
    return Status(
        observed_generation=run.generation,
        conditions=renewed_conditions(previous, judged, run.generation, now),
        phase=phase(judged),
        progress=_progress(evidence, judged, previous),
        eta=_eta(evidence, judged),
        attempt=run.attempt if seen.training else previous.attempt,
        queue=_queue(run, seen) or None,
        image=(seen.made and seen.made.image) or previous.image,
        node=_node(seen) or previous.node,
        gpu_hours=gpu_hours(plan, seen.training, now) or previous.gpu_hours,
        prep=prep.status if prep else previous.prep,
        training=(training and training.status) or previous.training,
        checkpoint=(training and training.checkpoint) or previous.checkpoint,
        failure=evidence.failure or previous.failure,
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


def _eta(evidence: Evidence, judged: Mapping[str, Judged]) -> str | None:
    if judged[CONDITION_COMPLETE].is_true or judged[CONDITION_FAILED].is_true:
        return None
    at_work = evidence.training if evidence.prepared else evidence.prep
    return eta_text(at_work.eta_seconds) if at_work else None


def _queue(run: Run, seen: Observed) -> str | None:
    """Of the training workload; before there is one, that which it will have."""
    if seen.training:
        return seen.training.queue
    return run.plan.spec.scheduling.queue_name if run.plan else run.status.queue


def _node(seen: Observed) -> str | None:
    return seen.training.pod.node if seen.training and seen.training.pod else None
