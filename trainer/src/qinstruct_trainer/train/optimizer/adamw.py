"""AdamW with the published parameter groups."""

import torch
from torch import nn

from qinstruct_trainer.contract.config import RunConfig
from qinstruct_trainer.model.llava import trainable_parameters

_BETAS = (0.9, 0.999)  # transformers' TrainingArguments defaults, which the four runs keep
_EPSILON = 1e-8


def build_optimizer(module: nn.Module, config: RunConfig, *, fused: bool) -> torch.optim.AdamW:
    """AdamW over the trainable parameters.

    Biases and norms do not decay (LLaVA's `create_optimizer`). `fused` needs CUDA.
    """
    decay: list[nn.Parameter] = []
    keep: list[nn.Parameter] = []
    for name, parameter in trainable_parameters(module):
        (keep if _is_norm_or_bias(name) else decay).append(parameter)
    groups = [
        {"params": decay, "weight_decay": config.weight_decay},
        {"params": keep, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(
        [group for group in groups if group["params"]],
        lr=config.learning_rate,
        betas=_BETAS,
        eps=_EPSILON,
        fused=fused,
    )


def _is_norm_or_bias(name: str) -> bool:
    return name.endswith(".bias") or "norm" in name.rsplit(".", 2)[-2]
