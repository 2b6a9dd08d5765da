"""The finished plan and its parts: frozen values that `children` and the command line read."""

from dataclasses import dataclass

from qinstruct_operator.api.spec import Spec
from qinstruct_operator.catalog.gpus import PRODUCT_GIGABYTES, GpuClass
from qinstruct_operator.catalog.sizes import SizeFacts
from qinstruct_operator.core.plan.memory import MemoryEstimate
from qinstruct_operator.settings import Settings
from qinstruct_trainer.contract.config import PrepConfig, RunConfig


@dataclass(frozen=True)
class Owner:
    """The run's own object, for ownerReferences.

    Attributes:
        generation: of the spec that is planned.
    """

    name: str
    uid: str
    generation: int | None = None


@dataclass(frozen=True)
class GpuPlan:
    """GPUs of the training pod.

    Attributes:
        product: exact product, or None for any of the class.
        strict: select by nodeSelector.
        allow_larger: nodes with more memory will do.
    """

    per_node: int
    gpu_class: GpuClass
    product: str | None
    strict: bool
    allow_larger: bool

    @property
    def gigabytes(self) -> int:
        """Memory of one GPU in units of 1e9 bytes: the product's, or the least that is accepted."""
        return PRODUCT_GIGABYTES[self.product] if self.product else self.gpu_class.gigabytes

    @property
    def is_large_enough(self) -> bool:
        """Whether the product has the memory that the size needs."""
        return self.gigabytes >= self.gpu_class.gigabytes


@dataclass(frozen=True)
class Claim:
    """A volume claim; `size` None: it exists already and is not ours to create."""

    name: str
    size: str | None
    storage_class: str | None
    owned: bool


@dataclass(frozen=True)
class Plan:
    """Everything about a run that its builders need, and that `qinstruct plan` shows.

    Attributes:
        spec: that it was made of.
        owner: None outside a cluster: children then carry no ownerReference.
        backend: kind of the training workload.
        num_processes: processes that torchrun starts.
        deadline_seconds: longest attempt.
        memory: of one GPU; None for a size without GPUs.
        cache_bytes, output_bytes: disk that the run needs.
        pixel_bytes: what the store of decoded images takes of the cache besides, at most; 0: none
            is wanted; None: it cannot be told.
        num_records, num_steps: from the published record counts; None when one is unknown.
        hours: documented, scaled to epochs and GPUs; for one epoch on 8 the published figure.
        gpu_hours: the same times GPUs.
    """

    name: str
    namespace: str
    owner: Owner | None
    spec: Spec
    settings: Settings
    size: SizeFacts
    gpu: GpuPlan | None
    backend: str
    num_processes: int
    prep_config: PrepConfig
    run_config: RunConfig
    cache_claim: Claim
    output_claim: Claim
    deadline_seconds: int
    memory: MemoryEstimate | None
    cache_bytes: int
    pixel_bytes: int | None
    output_bytes: int
    num_records: int | None
    num_steps: int | None
    hours: float
    gpu_hours: float

    @property
    def queue_name(self) -> str | None:
        """Kueue's LocalQueue of the training workload; None: it is not queued."""
        return self.spec.scheduling.queue_name or self.settings.default_queue or None
