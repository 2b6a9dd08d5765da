"""Judge: what was observed becomes the run's complete status. Pure.

The status is computed from observation and the previous status alone, all of it, each time; a
finished run's stays as it is.
"""

from dataclasses import dataclass
from datetime import datetime

from qinstruct_operator.api.status import FailureStatus, Status
from qinstruct_operator.constants import (
    CONDITION_ACCEPTED,
    CONDITION_COMPLETE,
    CONDITION_FAILED,
    CONDITION_PREPARED,
    CONDITION_RUNNING,
    CONDITION_SCHEDULED,
)
from qinstruct_operator.core.children import FINAL_EXIT_CODES
from qinstruct_operator.core.judge import conditions as is_
from qinstruct_operator.core.judge.conditions import Judged, no, yes
from qinstruct_operator.core.judge.failure import failure
from qinstruct_operator.core.judge.observe import Observed, Pod, Run, Workload
from qinstruct_operator.core.judge.progress import (
    PrepSeen,
    TrainingSeen,
    eta_text,
    percent_text,
    prep_progress,
    training_progress,
)
from qinstruct_operator.core.judge.waiting import PENDING, REFUSED, why_waiting
from qinstruct_operator.core.plan.make import Plan
from qinstruct_operator.errors import Violation
from qinstruct_trainer.contract import output_files

"""Where the trainer's export is, below the output claim's root."""

_HOUR = 3600


@dataclass(frozen=True)
class _View:
    """One observation, digested: what every judgement below reads."""

    seen: Observed
    prepared: bool
    prep: PrepSeen | None
    training: TrainingSeen | None
    failure: FailureStatus | None


def judge(
    run: Run,
    previous: Status,
    plan: Plan | None,
    violations: tuple[Violation, ...],
    seen: Observed,
    now: datetime,
) -> Status:
    """The status that is true now.

    Args:
        run: generation and identity as they were read.
        previous: the status as it was read; an empty one at first.
        plan: None where the spec has violations.
        violations: what is wrong with the spec.
        seen: the children, after everything due was applied.
        now: the present.
    """
    if is_.is_finished(previous):
        return _finished(run, previous)
    attempt = present_attempt(previous)
    view = _digest(previous, seen, attempt)
    judged = _judged(view, violations, plan)
    return Status(
        observed_generation=run.generation,
        conditions=is_.conditions(previous, judged, run.generation, now),
        phase=is_.phase(judged),
        progress=_progress(view, judged, previous),
        eta=_eta(view, judged),
        attempt=attempt if view.prepared else previous.attempt,
        queue=(plan.scheduling.queue_name if plan else previous.queue) or None,
        node=_node(seen) or previous.node,
        gpu_hours=_gpu_hours(plan, seen.training, now) or previous.gpu_hours,
        prep=view.prep.status if view.prep else previous.prep,
        training=(view.training and view.training.status) or previous.training,
        checkpoint=(view.training and view.training.checkpoint) or previous.checkpoint,
        failure=view.failure or previous.failure,
        model=f"{plan.output_claim.name}:/{output_files.MODEL}"
        if plan and judged[CONDITION_COMPLETE].status == "True"
        else previous.model,
    )


def present_attempt(status: Status) -> int:
    """The attempt that is due or under way; the first is 1."""
    return max(status.attempt or 1, 1)


def _finished(run: Run, previous: Status) -> Status:
    conditions = tuple(
        each.model_copy(update={"observed_generation": run.generation})
        for each in previous.conditions
    )
    return previous.model_copy(
        update={"observed_generation": run.generation, "conditions": conditions}
    )


def _digest(previous: Status, seen: Observed, attempt: int) -> _View:
    prep, training = seen.prep, seen.training
    prepared = is_.is_true(previous, CONDITION_PREPARED) or seen.is_prepared
    child = training if prepared else prep
    lines = seen.log if child else ()  # of somebody else's otherwise
    return _View(
        seen=seen,
        prepared=prepared,
        prep=None if prepared else prep_progress(lines),
        training=training_progress(lines) if prepared and training else None,
        failure=_failure(child, attempt if prepared else None, lines, previous)
        if child and child.has_failed
        else None,
    )


def _failure(
    child: Workload, attempt: int | None, lines: tuple[str, ...], previous: Status
) -> FailureStatus:
    """The failure; of a pod that is gone, what was seen of it while it was there."""
    before = previous.failure
    if child.pod is None and before is not None and before.attempt == attempt:
        return before
    return failure(child, attempt, lines)


def _judged(view: _View, violations: tuple[Violation, ...], plan: Plan | None) -> dict[str, Judged]:
    accepted = _accepted(view.seen, violations)
    failed = _failed(view)
    return {
        CONDITION_ACCEPTED: accepted,
        CONDITION_PREPARED: _prepared(view, accepted),
        CONDITION_SCHEDULED: _scheduled(view, accepted),
        CONDITION_RUNNING: _running(view),
        CONDITION_COMPLETE: _complete(view, failed, plan),
        CONDITION_FAILED: failed,
    }


def _accepted(seen: Observed, violations: tuple[Violation, ...]) -> Judged:
    if violations:
        return no(is_.INVALID_SPEC, "\n".join(each.sentence() for each in violations))
    if seen.taken:
        names = ", ".join(seen.taken)
        return no(
            is_.NAME_TAKEN,
            f"{names} is there and was not made for this run; delete it, or choose another name "
            "for the run",
        )
    return yes(is_.ACCEPTED, "the spec is a run that this version can train")


def _prepared(view: _View, accepted: Judged) -> Judged:
    if view.prepared:
        return yes(is_.PREPARED, "data and model are fetched, checked and indexed")
    if view.seen.prep is None:
        return _not_begun(view.seen, accepted, "the prep Job")
    return _preparing(view, view.seen.prep)


def _preparing(view: _View, prep: Workload) -> Judged:
    pod = prep.pod
    if prep.verdict == "failed":
        if not prep.is_over:
            return no(is_.STOPPING, f"{prep.name} has failed, and its container is ending")
        told = view.failure.message if view.failure else None
        return no(is_.FAILED, told or prep.message)
    if pod and pod.is_over:
        return _prep_ended(prep, pod, view.failure)
    if pod and pod.is_running:
        if waiting_for := view.prep and view.prep.status.waiting_for:
            return no(is_.WAITING_FOR_RUN, f"run {waiting_for} builds what this one needs")
        return no(is_.PREPARING, f"{pod.name} prepares data and model on node {pod.node}")
    return _waiting(prep, view.seen)


def _prep_ended(prep: Workload, pod: Pod, failed: FailureStatus | None) -> Judged:
    """Its container has ended, and the Job has not said what follows from that."""
    if pod.is_held_open:
        return _held_open(pod)
    if failed is None or not failed.message:
        return no(is_.PREPARING, f"{pod.name} has ended")
    if failed.exit_code in FINAL_EXIT_CODES:
        return no(is_.STOPPING, f"{prep.name} is ending: {failed.message}")
    return no(is_.RETRYING, f"the cluster starts {prep.name} again: {failed.message}")


def _held_open(pod: Pod) -> Judged:
    names = ", ".join(pod.sidecars)
    return no(
        is_.SIDECAR_RUNNING,
        f"the work in {pod.name} has ended, but the pod does not, because of {names}, which is "
        "not ours; keep what injects it away from this run's pods, and delete the pod",
    )


def _waiting(workload: Workload, seen: Observed) -> Judged:
    why = why_waiting(workload, seen.claims)
    return no(why.reason, why.message)


def _not_begun(seen: Observed, accepted: Judged, child: str) -> Judged:
    if accepted.status == "False":
        return no(is_.NOT_ACCEPTED, "the run is not accepted; see condition Accepted")
    if seen.leftovers:
        names = ", ".join(seen.leftovers)
        return no(PENDING, f"waits until {names} of an earlier run with this name is deleted")
    if seen.refused:
        return no(REFUSED, f"{seen.refused}; it is tried again until the cluster takes it")
    return no(PENDING, f"{child} is being created")


def _scheduled(view: _View, accepted: Judged) -> Judged:
    training = view.seen.training
    if not view.prepared:
        return no(is_.WAITING_FOR_DATA, "no GPU is asked for before the data are prepared")
    if training is None:
        return _not_begun(view.seen, accepted, "the PyTorchJob")
    if training.pod and training.pod.node:
        return yes(is_.SCHEDULED, f"{training.pod.name} has node {training.pod.node}")
    if training.verdict == "succeeded":
        return yes(is_.SCHEDULED, f"{training.name} had a node until its pod was deleted")
    if training.is_over:
        return no(is_.FAILED, f"{training.name} has failed, and has no pod on a node")
    return _waiting(training, view.seen)


def _running(view: _View) -> Judged:
    training = view.seen.training
    if not view.prepared:
        return no(is_.WAITING_FOR_DATA, "training starts when the data are prepared")
    if training is not None and training.is_over:
        if training.verdict == "failed":
            return no(is_.FAILED, f"{training.name} has failed")
        return no(is_.FINISHED, f"{training.name} has finished")
    if training is None or training.pod is None or training.pod.node is None:
        return no(is_.WAITING_FOR_NODE, "training starts when its pod has a node")
    return _on_node(view, training, training.pod)


def _on_node(view: _View, training: Workload, pod: Pod) -> Judged:
    if training.verdict == "failed":
        return no(is_.STOPPING, f"{training.name} has failed, and its container is ending")
    if pod.is_over:
        if pod.is_held_open:
            return _held_open(pod)
        return no(is_.FINISHED, f"{pod.name} has ended")
    if pod.is_running:
        return _at_work(view, f"{pod.name} on node {pod.node}")
    return _waiting(training, view.seen)


def _at_work(view: _View, where: str) -> Judged:
    status = view.training.status if view.training else None
    exported = view.training is not None and view.training.exported
    if exported or (status is not None and status.step == status.steps):
        return yes(is_.FINISHING, f"{where} exports and evaluates the model")
    if status is None:
        return yes(is_.LOADING, f"{where} loads model and data")
    return yes(is_.TRAINING, f"{where} trains")


def _complete(view: _View, failed: Judged, plan: Plan | None) -> Judged:
    training = view.seen.training
    if view.prepared and training and training.verdict == "succeeded":
        claim = plan.output_claim.name if plan else "of the run's output"
        return yes(is_.COMPLETE, f"the model is in folder {output_files.MODEL} of claim {claim}")
    if failed.status == "True":
        return no(is_.FAILED, "the run has failed; see condition Failed")
    return no(is_.IN_PROGRESS, "the run is under way")


def _failed(view: _View) -> Judged:
    prep, training = view.seen.prep, view.seen.training
    child = training if view.prepared else prep
    if child and child.verdict == "failed" and child.is_over and view.failure:
        return yes(view.failure.reason, view.failure.message or view.failure.reason)
    return no(is_.IN_PROGRESS, "nothing has failed for good")


def _progress(view: _View, judged: dict[str, Judged], previous: Status) -> str | None:
    if judged[CONDITION_COMPLETE].status == "True":
        return "100%"
    if view.prepared:
        training = (view.training and view.training.status) or previous.training
        return percent_text(training.step, training.steps) if training else None
    prep = view.prep.status if view.prep else previous.prep
    if prep is None:
        return None
    return " ".join(filter(None, (prep.stage, percent_text(prep.done, prep.total)))) or None


def _eta(view: _View, judged: dict[str, Judged]) -> str | None:
    if judged[CONDITION_COMPLETE].status == "True" or judged[CONDITION_FAILED].status == "True":
        return None
    at_work = view.training if view.prepared else view.prep
    return eta_text(at_work.eta_seconds) if at_work else None


def _node(seen: Observed) -> str | None:
    return seen.training.pod.node if seen.training and seen.training.pod else None


def _gpu_hours(plan: Plan | None, training: Workload | None, now: datetime) -> float | None:
    """GPUs times the time that the container has had them; None without any."""
    container = training.pod.container if training and training.pod else None
    if plan is None or plan.gpu is None or container is None or container.started is None:
        return None
    seconds = ((container.finished or now) - container.started).total_seconds()
    return round(max(seconds, 0) * plan.gpu.per_node / _HOUR, 2)
