"""Whether a workload is to be suspended or let go on, and what that waits for. Pure.

What a user wants is spec.suspend; a workload says itself whether it is suspended. One that Kueue
queues is Kueue's alone, and one that somebody else has suspended, e.g. a person, stays so.
"""

from collections.abc import Mapping
from typing import Any

from qinstruct_operator.constants import ANNOTATION_SUSPENDED
from qinstruct_operator.core.backends.base import ConditionTypes
from qinstruct_operator.core.children import Manifest
from qinstruct_operator.core.judge.claims import content_lost, volume_lost
from qinstruct_operator.core.judge.observe import Observed
from qinstruct_operator.core.judge.workloads import JOB_CONDITIONS, Workload, nested
from qinstruct_operator.core.run import Run
from qinstruct_operator.errors import Violation
from qinstruct_operator.kinds import JOB


def suspension_due(run: Run, seen: Observed, workload: Workload) -> bool | None:
    """What to write into a workload: True suspends it, False lets it go on; None: nothing."""
    if workload.verdict != "active" or workload.queue or workload.deleted:
        return None
    if run.suspend:
        return None if workload.suspended or _has_done(seen, workload) else True
    if workload.is_marked and not workload.suspended and run.suspend is False:
        return False  # somebody let it go on: whoever suspends it next is not its spec
    return False if _is_to_go_on(run, workload) and _can_go_on(run, seen, workload) else None


def _has_done(seen: Observed, workload: Workload) -> bool:
    """Whether training has ended, and its verdict is still to come: nothing of it could stop."""
    return workload is seen.training and workload.pod is not None and workload.pod.is_over


def _is_to_go_on(run: Run, workload: Workload) -> bool:
    return workload.is_held and run.suspend is False and not workload.deleted


def _can_go_on(run: Run, seen: Observed, workload: Workload) -> bool:
    """Whether what it reads and has saved is seen to be there, and no pod is in its way."""
    is_lost = seen.may_hide_children or content_lost(run, seen) or volume_lost(seen)
    return not is_lost and not _left(seen, workload)


def _left(seen: Observed, workload: Workload) -> tuple[str, ...]:
    """The pods that must be gone before training goes on.

    The training-operator (1.9) fails a PyTorchJob that it finds with a pod of before, even one
    that is over. The Job controller waits for its pods itself.
    """
    if workload is not seen.training:
        return ()
    own = (workload.pod, workload.suspended_pod)
    return tuple(pod.name for pod in (*own, *seen.old_pods) if pod)


def goes_on_without(run: Run, seen: Observed, workload: Workload) -> str:
    """What a workload that is to go on waits for, as a clause; empty where it need not."""
    pods = _left(seen, workload)
    if not pods or not _is_to_go_on(run, workload):
        return ""
    return f"{workload.name} was suspended, and goes on when {', '.join(pods)} is gone"


def not_suspended(seen: Observed) -> str:
    """Why what runs could not be suspended, as the end of a sentence."""
    return f"; it cannot be suspended yet: {seen.refused}" if seen.refused else ""


def suspended_twice(run: Run, workload: Workload) -> str:
    """Of what somebody else has suspended: that spec.suspend says so too, as the end of a sentence.

    Empty where it does not.
    """
    if not run.suspend or not workload.suspended or workload.is_held or workload.queue:
        return ""
    return "; set spec.suspend to false first, or it is suspended again"


def queue_decides(workload: Workload) -> Violation:
    """That Kueue has put a workload into a queue, so that spec.suspend does nothing."""
    return Violation(
        "spec.suspend",
        True,
        f"has no effect on {workload.name}, because Kueue starts and stops what is in a queue "
        f"({workload.queue})",
        "set spec.active of its Kueue Workload to false instead",
    )


def suspension(run: Run, seen: Observed, workload: Workload, suspend: bool) -> Manifest:
    """The merge patch that suspends a workload as it was seen, or lets it go on."""
    is_training = workload is seen.training
    kind = run.backend.kind if is_training else JOB
    types: ConditionTypes = run.backend.conditions if is_training else JOB_CONDITIONS
    spec: Mapping[str, Any] = nested(types.suspend_path, suspend)
    return {
        "apiVersion": kind.api_version,
        "kind": kind.kind,
        "metadata": {
            "name": workload.name,
            "namespace": run.namespace,
            "resourceVersion": workload.version,
            "annotations": {ANNOTATION_SUSPENDED: "true" if suspend else None},
        },
        **spec,
    }
