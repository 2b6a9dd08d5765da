"""How much memory the run needs on one GPU, estimated before any GPU is requested. Pure.

Model states: ZeRO (Rajbhandari et al. 2020, section 3): bf16 weights 2, bf16 gradients 2, fp32
master weights and two Adam moments 12 bytes a parameter; stage 1 shards the 12, stage 2 the
gradients too, stage 3 everything.

Activations, in bytes per token and hidden unit, measured (bench/gpu.py: one H200, 8 layers of 7B's
shape): 46 a layer, or with recomputation its input alone, 2; and 12 around the layers. (Korthikanti
et al. 2022, equation 2, have 34 for a GPT; the Llama of transformers has three MLP products and
normalises in fp32.) Eager attention adds its scores, 5*a*s/h; the other kernels keep none. With
packing prefix a layer also keeps each prefix's keys and values once more for the branches (4), and
their masks; 6 together, reckoned. A row has at most the tokens of the largest micro-batch.

On top of them comes what is largest at one moment: one layer's backward pass (16, and what was
recomputed), or the logits: fp32 copy, log-probabilities and gradient, 3 x 4 x b*s*V. They are freed
before the optimizer steps, which needs an fp32 and a flat copy of this rank's gradients: 6 bytes
each, under stage 3 for 1e9 parameters at a time. Worst batch: text only, every sequence at full
length, every token learnt. The constants were fitted to those measurements and meet them within
2.5% (test_memory.py has them); 13B and several GPUs are reckoned from them, not measured.
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
# Measured: 1.2 GB of CUDA context and NCCL, 0.6 GB of the frozen tower, 0.3 GB of the projector's
# states. Estimated: gathered weights of a few layers under stage 3 on several GPUs.
_RUNTIME_BYTES: Final = 3.5e9

_LAYER: Final = 46
_SHARING: Final = 6
_LAYER_INPUT: Final = 2
_AROUND: Final = 12
_BACKWARD: Final = 16
"""Bytes per token and hidden unit."""

_STEP_BYTES: Final = 6
_STEP_PARAMETERS: Final = 1e9
"""Bytes a parameter in the optimizer's step; under stage 3, at so many at a time (ds_config)."""


@dataclass(frozen=True)
class MemoryEstimate:
    """Bytes on one GPU, and what the GPU has (nominal).

    Attributes:
        activations: kept from the forward pass; and one layer's backward pass where that needs
            more than the logits.
        logits: as far as the backward pass of a layer does not need more.
        step: in the optimizer's step, when there are no activations and logits.
    """

    states: float
    activations: float
    logits: float
    step: float
    runtime: float
    available: float

    @property
    def total(self) -> float:
        """Bytes that the worst batch needs, or the step after it."""
        return self.states + max(self.activations + self.logits, self.step) + self.runtime

    @property
    def fits(self) -> bool:
        """Whether the worst batch fits."""
        return self.total <= self.available

    def sentence(self) -> str:
        """The sum in gigabytes, for people."""
        most = (
            f"{self.step / _GB:.1f} GB optimizer step"
            if self.step > self.activations + self.logits
            else f"{self.activations / _GB:.1f} GB activations + {self.logits / _GB:.1f} GB logits"
        )
        return (
            f"{self.states / _GB:.1f} GB model states + {most} + {self.runtime / _GB:.1f} GB "
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
    packing: str = "none",
) -> MemoryEstimate:
    """Memory of the worst batch on one of `num_gpus` GPUs with `gigabytes` of memory."""
    tokens = micro_batch_size * max_length
    scores = 5 * network.heads * max_length / network.hidden if attention == "eager" else 0.0
    layer = _LAYER + scores + (_SHARING if packing == "prefix" else 0)
    kept = (_LAYER_INPUT if activation_checkpointing else layer) * network.layers
    backward = _BACKWARD + (layer - _LAYER_INPUT if activation_checkpointing else 0.0)
    one_byte = tokens * network.hidden
    logits = 3 * 4 * tokens * VOCABULARY
    is_layer_larger = one_byte * backward > logits
    return MemoryEstimate(
        states=network.parameters * _state_bytes(zero_stage, num_gpus),
        activations=one_byte * (kept + _AROUND + (backward if is_layer_larger else 0.0)),
        logits=0.0 if is_layer_larger else logits,
        step=_step_bytes(network.parameters / num_gpus, zero_stage),
        runtime=_RUNTIME_BYTES,
        available=gigabytes * _GB,
    )


def _state_bytes(zero_stage: int, num_gpus: int) -> float:
    """Bytes a parameter on one GPU."""
    weights = WEIGHT_BYTES / (num_gpus if zero_stage >= 3 else 1)
    gradients = GRADIENT_BYTES / (num_gpus if zero_stage >= 2 else 1)
    return weights + gradients + OPTIMIZER_BYTES / num_gpus


def _step_bytes(parameters: float, zero_stage: int) -> float:
    """Bytes on one GPU that only the optimizer's step needs, for this GPU's share of parameters."""
    return _STEP_BYTES * (min(parameters, _STEP_PARAMETERS) if zero_stage >= 3 else parameters)


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
