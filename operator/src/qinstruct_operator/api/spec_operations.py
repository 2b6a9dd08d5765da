"""The spec's groups about operations: recovery, prep, scheduling, budget, tracking, patches."""

from typing import Annotated, Any, Literal

from pydantic import Field

from qinstruct_operator.api.field_types import (
    ApiModel,
    CpuQuantity,
    DnsName,
    LabelKey,
    LabelValue,
    Number,
    Quantity,
    QueueName,
    SecretKeyRef,
)
from qinstruct_operator.catalog.sizes import SIZES
from qinstruct_operator.constants import ARCH, ARCH_LABEL, GPU_RESOURCE

_ARCH_DEFAULT = f"{ARCH_LABEL}: {ARCH} is added unless an architecture is named here."
_PREP_CPUS = ", ".join(f"{size.prep.cpu} ({name})" for name, size in SIZES.items())
_PREP_MEMORY = ", ".join(f"{size.prep.memory} ({name})" for name, size in SIZES.items())


class Recovery(ApiModel):
    """What to do when an attempt fails."""

    in_place_retries: int = Field(
        default=2,
        ge=0,
        le=100,
        description="How often a training pod starts its processes again itself, on the same node "
        "and from the newest checkpoint, after a failure that may pass: a GPU or a link between "
        "GPUs that failed, a process that was killed. 0 turns it off.",
    )
    max_retries: int = Field(
        default=3,
        ge=0,
        le=100,
        description="How many attempts more may follow failures that may pass, as of a GPU or of a "
        "killed process, each in a new pod and from the newest checkpoint. 0: none.",
    )
    max_disruptions: int = Field(
        default=20,
        ge=0,
        le=1000,
        description="How many attempts more may follow disruptions: preempted, evicted, deleted, "
        "lost with a node. They are counted apart. 0: none.",
    )
    backoff_seconds: int = Field(
        default=30,
        ge=1,
        le=3600,
        description="Seconds between the end of an attempt and the next; twice as long after each "
        "failure of the same kind, less up to a quarter by chance.",
    )
    max_backoff_seconds: int = Field(
        default=600, ge=1, le=86400, description="Longest wait before another attempt."
    )
    startup_seconds: int = Field(
        default=1800, ge=60, le=86400, description="Longest time from a running pod to its start."
    )
    first_step_seconds: int = Field(
        default=1800, ge=60, le=86400, description="Longest time from start to the first step."
    )
    stall_factor: Number = Field(
        default=10.0,
        ge=2,
        le=1000,
        description="A step longer than this times the median step counts as stalled.",
    )


class Toleration(ApiModel):
    """A toleration of a pod, as in core/v1."""

    key: LabelKey | None = Field(
        default=None, description="Taint key. The installation says which are allowed."
    )
    operator: Literal["Exists", "Equal"] = Field(
        default="Equal", description="How the taint is compared."
    )
    value: LabelValue | None = Field(default=None, description="Taint value for operator Equal.")
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = Field(
        default=None, description="Taint effect; none matches every effect."
    )
    toleration_seconds: int | None = Field(
        default=None, ge=0, le=2**31 - 1, description="How long to stay after a NoExecute taint."
    )


class PrepResources(ApiModel):
    """What the prep pod asks of its node."""

    cpu: CpuQuantity | None = Field(
        default=None,
        description="CPUs that it asks for; it may use more where they are idle. Default: "
        f"{_PREP_CPUS}.",
    )
    memory: Quantity | None = Field(
        default=None,
        description="Memory that it asks for, which is also the most that it may use. Default: "
        f"{_PREP_MEMORY}.",
    )


class Prep(ApiModel):
    """How the cluster places and queues the prep pod; it asks for no GPU."""

    queue_name: QueueName | None = Field(
        default=None,
        description="Kueue LocalQueue of the prep Job. Default: none, so that it is not queued.",
    )
    priority_class_name: DnsName | None = Field(
        default=None, description="PriorityClass of the prep pod, if the installation allows it."
    )
    tolerations: Annotated[tuple[Toleration, ...], Field(strict=False)] = Field(
        default=(), max_length=16, description="Tolerations of the prep pod."
    )
    node_selector: dict[LabelKey, LabelValue] = Field(
        default_factory=dict,
        max_length=16,
        description=f"Labels that the node of the prep pod must have. {_ARCH_DEFAULT}",
    )
    resources: PrepResources = Field(
        default_factory=PrepResources, description="What the prep pod asks of its node."
    )


class Scheduling(ApiModel):
    """How the cluster places and queues the training pod."""

    queue_name: QueueName | None = Field(
        default=None,
        description="Kueue LocalQueue of the training workload. Default: the installation's, if "
        "it has one.",
    )
    priority_class_name: DnsName | None = Field(
        default=None,
        description="PriorityClass of the training pod, if the installation allows it.",
    )
    scheduler_name: DnsName | None = Field(
        default=None, description="Scheduler of the training pod."
    )
    tolerations: Annotated[tuple[Toleration, ...], Field(strict=False)] = Field(
        default=(),
        max_length=16,
        description=f"Tolerations of the training pod, besides that of the taint {GPU_RESOURCE}.",
    )
    node_selector: dict[LabelKey, LabelValue] = Field(
        default_factory=dict,
        max_length=16,
        description="Labels that the node of the training pod must have, besides what the size "
        f"needs. {_ARCH_DEFAULT}",
    )
    active_deadline_seconds: int | None = Field(
        default=None,
        ge=60,
        le=31_536_000,
        description="Longest time one attempt may run; the time in the queue does not count. "
        "Default: twice the documented hours, 1 hour for Tiny.",
    )
    ttl_seconds_after_finished: int | None = Field(
        default=None,
        ge=60,
        le=31_536_000,
        description="Delete the PyTorchJob of each attempt, with its pod and log, so long after it "
        "has ended; a minute longer than recovery.maxBackoffSeconds at least. Default: never.",
    )


class Budget(ApiModel):
    """What the run may cost."""

    max_gpu_hours: Number | None = Field(
        default=None,
        gt=0,
        le=1_000_000,
        description="Stop at a checkpoint before the run uses more GPU-hours.",
    )


class Wandb(ApiModel):
    """Weights & Biases."""

    project: str = Field(
        min_length=1, max_length=128, pattern=r"^[-\w.]+$", description="Project to log into."
    )
    secret_ref: SecretKeyRef = Field(description="API key.")


class Tracking(ApiModel):
    """Where metrics go besides status."""

    tensorboard: bool = Field(default=False, description="Write TensorBoard event files.")
    wandb: Wandb | None = Field(default=None, description="Log to Weights & Biases.")


class QBench(ApiModel):
    """Q-Bench on the finished model."""

    split: Literal["dev", "test"] = Field(default="dev", description="Split of LLVisionQA.")
    protocol: Literal["Published", "Strict"] = Field(
        default="Published", description="The published prompts, or the strict ones."
    )


class Evaluation(ApiModel):
    """What to measure on the finished model."""

    qbench: QBench | None = Field(default=None, description="Measure Q-Bench A1 and A3.")


class PodPatch(ApiModel):
    """A strategic-merge patch on one pod template."""

    target: Literal["Prep", "Training"] = Field(description="Whose pod template is patched.")
    patch: dict[str, Any] = Field(
        description="The patch of the PodTemplateSpec; fields that the plan owns are refused.",
        json_schema_extra={"x-kubernetes-preserve-unknown-fields": True},
    )
