"""How many GPU-hours a run has used. Pure."""

from datetime import datetime
from typing import Final

from qinstruct_operator.core.judge.workloads import Workload
from qinstruct_operator.core.plan.types import Plan

_HOUR: Final = 3600


def gpu_hours(plan: Plan | None, training: Workload | None, now: datetime) -> float | None:
    """GPUs times the time that the container has had them; None without any."""
    container = training.pod.container if training and training.pod else None
    if plan is None or plan.gpu is None or container is None or container.started is None:
        return None
    seconds = ((container.finished or now) - container.started).total_seconds()
    return round(max(seconds, 0) * plan.gpu.per_node / _HOUR, 2)
