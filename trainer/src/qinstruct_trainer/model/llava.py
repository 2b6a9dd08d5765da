"""Load a LLaVA checkpoint for training: every key matched, the vision tower frozen."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import torch
from accelerate import init_empty_weights
from safetensors import SafetensorError
from torch import nn
from transformers import (
    AutoModelForImageTextToText,
    GenerationConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
)
from transformers.utils.import_utils import is_flash_attn_2_available

from qinstruct_trainer.contract.config import Attention, Precision
from qinstruct_trainer.contract.errors import ConfigError, DataError
from qinstruct_trainer.model.attention import implementations
from qinstruct_trainer.model.configuration import open_config
from qinstruct_trainer.model.convert import check_tensors, collect
from qinstruct_trainer.model.parameter_names import HUB, hub_name, hub_shapes
from qinstruct_trainer.model.tensors import StoredTensor, open_checkpoint

DTYPES: dict[Precision, torch.dtype] = {"bf16": torch.bfloat16, "fp32": torch.float32}


_ADAPTER = "adapter_config.json"


class ParameterCount(NamedTuple):
    """Numbers of scalar parameters."""

    total: int
    trainable: int


def load_model(
    folder: Path,
    *,
    precision: Precision,
    attention: Attention,
    reads: bool = True,
    place: Callable[[nn.Module, Iterable[nn.Parameter]], None] | None = None,
) -> LlavaForConditionalGeneration:
    """The model ready to train: tower frozen and in eval mode, the rest in train mode.

    Built here, and not by `from_pretrained`, because the two differ under ZeRO-3: there
    transformers builds the model inside `deepspeed.zero.Init`, which rounds every float that a
    constructor computes to the training's precision, RoPE's frequencies among them (in bf16 an
    angle is wrong by up to 0.9 rad at position 700, with heads of 128). It also makes every
    process read the whole checkpoint into memory, and skips the check of names and shapes. Here
    buffers are computed outside of any such context, and parameters come one module at a time.

    Its generation config is rebuilt (see `sane_generation_config`). `use_cache` stays true in
    the config, as every consumer of the export expects; `LlavaLoss` turns it off in its call.

    Args:
        folder: A checkpoint in the Hugging Face layout, as `build_model` writes it.
        precision: Of all parameters, the frozen tower's too. Buffers keep the dtype that they
            have in a model that `load_checked` loads.
        attention: Kernels of the Llama, for samples without padding, and of the tower.
        reads: Whether to read the values; False where `place` gets them from another process.
        place: Called with each module and its own parameters when these are loaded, on the CPU;
            it may move or shard them in place, before the next module's are read.

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
    config, stored = _open_whole(folder)
    dtype = DTYPES[precision]
    with init_empty_weights(include_buffers=False):
        model: LlavaForConditionalGeneration = AutoModelForImageTextToText.from_config(  # type: ignore[no-untyped-call]
            config, dtype=dtype, attn_implementation=implementations(attention)
        )
    for prefix, module in model.named_modules():
        own = dict(module.named_parameters(recurse=False))
        for name in own:
            tensor = stored[hub_name(f"{prefix}.{name}")]
            value = tensor.load().to(dtype) if reads else torch.empty(tensor.shape, dtype=dtype)
            own[name] = nn.Parameter(value)
            module.register_parameter(name, own[name])
        if place is not None:
            place(module, own.values())
    model.generation_config = sane_generation_config(model.config)
    freeze_tower(model)
    return model


def load_checked(
    folder: Path, *, precision: Precision, attention: Attention = "sdpa"
) -> LlavaForConditionalGeneration:
    """The checkpoint as any user of transformers loads it, on the CPU in eval mode.

    transformers alone only warns of a tensor that is missing, and goes on with random weights.

    Raises:
        DataError: the folder is no LLaVA checkpoint, or a key is missing, extra or misshapen.
    """
    config, _ = _open_whole(folder)
    if (folder / _ADAPTER).exists():  # transformers would load it, and the model that it names
        raise DataError(f"{folder} holds {_ADAPTER}; merge the adapter into the weights first")
    try:
        model: LlavaForConditionalGeneration = LlavaForConditionalGeneration.from_pretrained(
            folder,
            config=config,
            dtype=DTYPES[precision],
            attn_implementation=attention,
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
        )
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise _not_loadable(folder, error) from error
    return model


def _open_whole(folder: Path) -> tuple[LlavaConfig, dict[str, StoredTensor]]:
    """The configuration, and the tensors by hub name: exactly those that it asks for.

    Raises:
        DataError: the folder is no LLaVA checkpoint, or a key is missing, extra or misshapen.
    """
    config = open_config(folder)
    try:
        shapes = hub_shapes(config)
    except (OSError, ValueError, TypeError, RuntimeError) as error:
        raise _not_loadable(folder, error) from error
    found = collect([(open_checkpoint(folder), HUB)])
    check_tensors(found, shapes)
    return config, found


def _not_loadable(folder: Path, error: Exception) -> DataError:
    first_line = str(error).strip().partition("\n")[0]
    return DataError(
        f"{folder} cannot be loaded as a LLaVA checkpoint ({first_line}); prepare the model again"
    )


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
