"""Parameter names of the published checkpoint layouts, each mapped to the hub layout.

The hub layout is that of the llava-hf repositories: `language_model.model.*`,
`language_model.lm_head.weight`, `multi_modal_projector.linear_{1,2}.*` and
`vision_tower.vision_model.*`. Every version of transformers reads it; the names that
transformers 5 has in memory are others again (`hub_name`).
"""

import re
from collections.abc import Sequence

import torch
from transformers import LlavaConfig, LlavaForConditionalGeneration

from qinstruct_trainer.contract.errors import DataError

EMBEDDING = "language_model.model.embed_tokens.weight"
HEAD = "language_model.lm_head.weight"
TOWER = "vision_tower."

Rules = Sequence[tuple[str, str]]
"""Ordered pairs (prefix, its replacement); the first prefix that fits decides."""

_LLAMA: Rules = (
    ("model.embed_tokens.", "language_model.model.embed_tokens."),
    ("model.layers.", "language_model.model.layers."),
    ("model.norm.", "language_model.model.norm."),
    ("lm_head.", "language_model.lm_head."),
)
_PROJECTOR: Rules = tuple(
    (f"{outer}mm_projector.{theirs}.", f"multi_modal_projector.linear_{ours}.")
    for outer in ("model.", "")
    for theirs, ours in ((0, 1), (2, 2))
)
_HUB_PREFIXES = (
    "language_model.model.",
    "language_model.lm_head.",
    "multi_modal_projector.",
    "vision_tower.vision_model.",
)
_IN_MEMORY: Rules = (
    ("model.language_model.", "language_model.model."),
    ("lm_head.", "language_model.lm_head."),
    ("model.multi_modal_projector.", "multi_modal_projector."),
    ("model.vision_tower.", "vision_tower.vision_model."),
)

VICUNA: Rules = _LLAMA
PROJECTOR: Rules = _PROJECTOR
CLIP: Rules = (("vision_model.", "vision_tower.vision_model."),)
LLAVA: Rules = (
    *_LLAMA,
    *_PROJECTOR,
    ("model.vision_tower.vision_tower.vision_model.", "vision_tower.vision_model."),
)
TO_LLAVA: Rules = tuple((ours, theirs) for theirs, ours in LLAVA)
HUB: Rules = (*((prefix, prefix) for prefix in _HUB_PREFIXES), *_IN_MEMORY)

# Buffers that older versions saved and newer ones compute, and the half of CLIP that reads text.
_HARMLESS = re.compile(
    r"(^|\.)(rotary_emb\.inv_freq|embeddings\.position_ids)$"
    r"|^(text_model|text_projection|visual_projection)\.|^logit_scale$"
)


def rename(key: str, rules: Rules) -> str | None:
    """The key's name in the hub layout; None for a tensor that is known not to be needed.

    Raises:
        DataError: no rule knows the key.
    """
    if _HARMLESS.search(key):
        return None
    for prefix, replacement in rules:
        if key.startswith(prefix):
            return replacement + key.removeprefix(prefix)
    raise DataError(f"holds the unknown tensor {key}; it is not a checkpoint of the expected model")


def hub_name(name_in_memory: str) -> str:
    """Where transformers 5's parameter belongs on disk.

    Raises:
        DataError: the name is not one of `LlavaForConditionalGeneration`'s.
    """
    name = rename(name_in_memory, _IN_MEMORY)
    if name is None:
        raise DataError(f"{name_in_memory} is no parameter of a LLaVA model")
    return name


def hub_shapes(config: LlavaConfig) -> dict[str, tuple[int, ...]]:
    """Every tensor that a checkpoint of this configuration has, in the model's order."""
    with torch.device("meta"):
        model = LlavaForConditionalGeneration(config)
    return {hub_name(name): tuple(value.shape) for name, value in model.named_parameters()}
