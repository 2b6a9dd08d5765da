"""How long a run takes: documented hours, GPU-hours and the default deadline. Pure."""

from qinstruct_operator.api.spec_operations import Scheduling
from qinstruct_operator.catalog.sizes import (
    GPUS_PER_DOCUMENTED_RUN,
    TINY_DEADLINE_SECONDS,
    SizeFacts,
)
from qinstruct_operator.core.plan.types import GpuPlan
from qinstruct_trainer.contract.config import RunConfig


def documented_hours(size: SizeFacts, config: RunConfig, gpu: GpuPlan | None) -> float:
    """The documented hours, scaled to the run's epochs and GPUs."""
    hours = size.hours[config.strategy] * config.epochs
    return hours * GPUS_PER_DOCUMENTED_RUN / gpu.per_node if gpu else hours


def gpu_hours(hours: float, gpu: GpuPlan | None) -> float:
    """The hours of all GPUs together."""
    return hours * gpu.per_node if gpu else 0.0


def deadline_seconds(scheduling: Scheduling, hours: float, gpu: GpuPlan | None) -> int:
    """Longest attempt: the user's, or twice the documented time, or an hour without GPUs."""
    default = int(2 * hours * 3600) if gpu else TINY_DEADLINE_SECONDS
    return scheduling.active_deadline_seconds or default
