"""Load a LLaVA checkpoint for training: every key matched, the vision tower frozen."""

from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError
from torch import nn
from transformers import GenerationConfig, LlavaConfig, LlavaForConditionalGeneration
from transformers.utils.import_utils import is_flash_attn_2_available

from qinstruct_trainer.contract.config import Attention, Precision
from qinstruct_trainer.contract.errors import ConfigError, DataError

DTYPES: dict[Precision, torch.dtype] = {"bf16": torch.bfloat16, "fp32": torch.float32}


class ParameterCount(NamedTuple):
    """Numbers of scalar parameters."""

    total: int
    trainable: int


def load_model(
    folder: Path, *, precision: Precision, attention: Attention
) -> LlavaForConditionalGeneration:
    """The model on the CPU, ready to train: tower frozen and in eval mode, the rest in train mode.

    Its generation config is rebuilt (see `sane_generation_config`). `use_cache` stays true in
    the config, as every consumer of the export expects; `LlavaLoss` turns it off in its call.

    Args:
        folder: A checkpoint in the Hugging Face layout, as `build_model` writes it.
        precision: Of all parameters, the frozen tower's too.
        attention: Implementation for the Llama and the tower.

    Raises:
        ConfigError: `flash_attention_2` is asked for, but cannot run here.
        DataError: the folder is no LLaVA checkpoint, or a key is missing, extra or misshapen.
    """
    # Without this check transformers would try to download a kernel from the hub instead.
    if attention == "flash_attention_2" and not is_flash_attn_2_available():
        raise ConfigError(
            "training.attention is flash_attention_2, but the package flash-attn (or a CUDA "
            "device) is not there; use the trainer image, or set training.attention to sdpa"
        )
    model = load_checked(folder, precision=precision, attention=attention)
    model.generation_config = sane_generation_config(model.config)
    freeze_tower(model)
    return model


def load_checked(
    folder: Path, *, precision: Precision, attention: Attention = "sdpa"
) -> LlavaForConditionalGeneration:
    """The checkpoint as it is, on the CPU in eval mode, when every key has its tensor.

    transformers alone only warns, and goes on with random weights.

    Raises:
        DataError: the folder is no LLaVA checkpoint, or a key is missing, extra or misshapen.
    """
    try:
        # With output_loading_info it returns a pair, which its annotation does not say.
        loaded: Any = LlavaForConditionalGeneration.from_pretrained(
            folder,
            dtype=DTYPES[precision],
            attn_implementation=attention,
            local_files_only=True,
            output_loading_info=True,
        )
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        first_line = str(error).strip().splitlines()[0]
        raise DataError(
            f"{folder} cannot be loaded as a LLaVA checkpoint ({first_line}); "
            "prepare the model again"
        ) from error
    model: LlavaForConditionalGeneration
    model, info = loaded
    for fault in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        keys = sorted(map(str, info[fault]))
        if keys:
            raise DataError(
                f"{folder} has {len(keys)} {fault.replace('_', ' ')}, the first is {keys[0]}; "
                "it is not a complete LLaVA checkpoint, prepare the model again"
            )
    return model


def sane_generation_config(config: LlavaConfig) -> GenerationConfig:
    """Greedy decoding and the special token ids, nothing else.

    Vicuna ships temperature and top_p together with do_sample False; save_pretrained refuses
    that, after the whole run (LLaVA issues 1144, 1252, 1635).
    """
    text = config.get_text_config()
    return GenerationConfig(  # type: ignore[no-untyped-call]
        bos_token_id=text.bos_token_id,
        eos_token_id=text.eos_token_id,
        pad_token_id=text.pad_token_id,
        do_sample=False,
    )


def freeze_tower(model: LlavaForConditionalGeneration) -> None:
    """Train everything but the vision tower, as the published recipe does."""
    model.train()
    tower = model.model.vision_tower
    tower.requires_grad_(False)
    tower.eval()


def enable_activation_checkpointing(model: LlavaForConditionalGeneration) -> None:
    """Recompute each Llama layer's activations in the backward pass (non-reentrant).

    Only the Llama: on the whole model this would flag the frozen tower's layers too.
    """
    model.model.language_model.gradient_checkpointing_enable()


def trainable_parameters(model: nn.Module) -> list[tuple[str, nn.Parameter]]:
    """Names and parameters that the optimizer updates, in the model's order."""
    return [(name, value) for name, value in model.named_parameters() if value.requires_grad]


def count_parameters(model: nn.Module) -> ParameterCount:
    """All and trainable scalar parameters; also right when ZeRO-3 has partitioned them."""
    sizes = [
        (int(getattr(value, "ds_numel", value.numel())), value.requires_grad)
        for value in model.parameters()
    ]
    return ParameterCount(
        total=sum(size for size, _ in sizes),
        trainable=sum(size for size, trains in sizes if trains),
    )
