"""How much memory the run needs on one GPU, estimated before any GPU is requested. Pure.

Model states: ZeRO (Rajbhandari et al. 2020, section 3): bf16 weights 2, bf16 gradients 2, fp32
master weights and two Adam moments 12 bytes a parameter; stage 1 shards the 12, stage 2 the
gradients too, stage 3 everything. Activations: Korthikanti et al. 2022, equation 2: a layer
keeps s*b*h*(34 + 5*a*s/h) bytes; flash and memory-efficient kernels drop the second term, and
recomputation keeps the layer's input alone (2*s*b*h) and one layer at a time in full.
Logits: fp32 copy, shifted copy and gradient, 3 x 4 x b*s*V. Worst batch: text only, every
sequence at full length.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from qinstruct_operator.catalog.sizes import (
    GRADIENT_BYTES,
    OPTIMIZER_BYTES,
    WEIGHT_BYTES,
    Network,
)
from qinstruct_operator.errors import Violation
from qinstruct_trainer.contract.config import RunConfig

VOCABULARY: Final = 32_000
_GB: Final = 1e9
# stage3_max_live_parameters 1e9 x 2 bytes of gathered weights, and an estimated 1.5 GB of CUDA
# context, NCCL buffers and the frozen vision tower.
_RUNTIME_BYTES: Final = 3.5e9


@dataclass(frozen=True)
class MemoryEstimate:
    """Bytes on one GPU, and what the GPU has (nominal)."""

    states: float
    activations: float
    logits: float
    runtime: float
    available: float

    @property
    def total(self) -> float:
        """Bytes that the worst batch needs."""
        return self.states + self.activations + self.logits + self.runtime

    @property
    def fits(self) -> bool:
        """Whether the worst batch fits."""
        return self.total <= self.available

    def sentence(self) -> str:
        """The sum in gigabytes, for people."""
        return (
            f"{self.states / _GB:.1f} GB model states + {self.activations / _GB:.1f} GB "
            f"activations + {self.logits / _GB:.1f} GB logits + {self.runtime / _GB:.1f} GB "
            f"runtime = {self.total / _GB:.1f} GB a GPU, of {self.available / _GB:.0f} GB"
        )


def estimate(
    network: Network,
    *,
    num_gpus: int,
    gigabytes: int,
    micro_batch_size: int,
    max_length: int,
    zero_stage: int,
    attention: str,
    activation_checkpointing: bool,
) -> MemoryEstimate:
    """Memory of the worst batch on one of `num_gpus` GPUs with `gigabytes` of memory."""
    tokens = micro_batch_size * max_length
    return MemoryEstimate(
        states=network.parameters * _state_bytes(zero_stage, num_gpus),
        activations=_activation_bytes(
            network, tokens, max_length, attention == "eager", activation_checkpointing
        ),
        logits=3 * 4 * tokens * VOCABULARY,
        runtime=_RUNTIME_BYTES,
        available=gigabytes * _GB,
    )


def _state_bytes(zero_stage: int, num_gpus: int) -> float:
    """Bytes a parameter on one GPU."""
    weights = WEIGHT_BYTES / (num_gpus if zero_stage >= 3 else 1)
    gradients = GRADIENT_BYTES / (num_gpus if zero_stage >= 2 else 1)
    return weights + gradients + OPTIMIZER_BYTES / num_gpus


def _activation_bytes(
    network: Network, tokens: int, length: int, eager: bool, checkpointing: bool
) -> float:
    scores = 5 * network.heads * length / network.hidden if eager else 0.0
    whole_layer = tokens * network.hidden * (34 + scores)
    if not checkpointing:
        return whole_layer * network.layers
    boundaries = 2.0 * tokens * network.hidden * network.layers
    # The recomputed layer and the logits are never alive together: the larger is counted, and
    # without eager's scores that is the logits.
    return boundaries + (whole_layer if eager else 0.0)


def memory_violations(needed: MemoryEstimate, config: RunConfig) -> Iterator[Violation]:
    """The worst batch must fit a GPU."""
    if not needed.fits:
        yield Violation(
            "spec.training.microBatchSize",
            config.micro_batch_size,
            f"the longest batch of size {config.size} does not fit: {needed.sentence()}",
            "lower microBatchSize or maxLength, use zeroStage 3 and activationCheckpointing, "
            "or GPUs with more memory (gpu.product, gpu.perNode)",
        )
