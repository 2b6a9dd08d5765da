"""The finished model on disk: the hub layout that every tool reads, proven by loading it back."""

import shutil
from pathlib import Path

import torch
from torch import Tensor
from transformers import LlavaForConditionalGeneration

from qinstruct_trainer.contract.config import Precision
from qinstruct_trainer.contract.errors import RunError
from qinstruct_trainer.model.llava import load_checked
from qinstruct_trainer.model.parameter_names import hub_shapes
from qinstruct_trainer.model.tensors import make_readable, open_checkpoint

# Everything beside the weights and the configs that save_pretrained writes.
_COPIED = (
    "tokenizer.model",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "preprocessor_config.json",
    "processor_config.json",
    "chat_template.jinja",
)
_BF16_TOLERANCE = 0.05  # logits of order 10, 8 bits of mantissa


def dry_run_export(model: LlavaForConditionalGeneration, source: Path, folder: Path) -> None:
    """Write all files but the weights, so that a bad config fails before the first step.

    The classic: a generation config that save_pretrained refuses, after 20 hours (LLaVA issues
    1144, 1252, 1635).

    Raises:
        RunError: transformers refuses to write a config.
    """
    folder.mkdir(parents=True)
    try:
        model.config.save_pretrained(folder)
        model.generation_config.save_pretrained(folder)
    except ValueError as error:
        raise RunError(
            f"the model could not be exported after training ({' '.join(str(error).split())}); "
            f"correct config.json or generation_config.json in {source}"
        ) from error
    _copy_processing(source, folder)


def write_export(
    model: LlavaForConditionalGeneration,
    state_dict: dict[str, Tensor],
    source: Path,
    folder: Path,
) -> None:
    """Write the model.

    save_pretrained translates the names in memory to those of the hub layout, because the
    model was loaded from it; a raw state dict on disk would have names that older tools miss.

    Args:
        model: For its config and generation config; its parameters may be shards.
        state_dict: All weights by their names in memory, on the CPU.
        source: The starting checkpoint: tokenizer and processor are copied from it.
        folder: A new folder.

    Raises:
        RunError: the names on disk are not those of the hub layout.
    """
    folder.mkdir(parents=True)
    model.save_pretrained(folder, state_dict=state_dict, max_shard_size="4GB")
    for weights in folder.glob("*.safetensors"):
        make_readable(weights)
    written = {tensor.name for tensor in open_checkpoint(folder)}
    wrong = sorted(written ^ hub_shapes(model.config).keys())
    if wrong:
        raise RunError(
            f"the model written to {folder} is not in the hub layout, the first wrong or missing "
            f"tensor is {wrong[0]}; other tools would replace it by random values"
        )
    _copy_processing(source, folder)


def check_export(
    folder: Path,
    *,
    precision: Precision,
    input_ids: Tensor,
    pixel_values: Tensor,
    expected: Tensor,
) -> None:
    """Load the export and compare its logits with those of the model in memory.

    Args:
        folder: What `write_export` wrote.
        precision: Of the training; fp32 must agree to rounding, bf16 to its own.
        input_ids: [1, T].
        pixel_values: [1, 3, S, S]; not used when the ids hold no image token.
        expected: [1, T, vocabulary] logits of the model in memory, on the CPU.

    Raises:
        DataError: the folder does not load completely.
        RunError: it loads, but says something else.
    """
    logits = probe_logits(load_checked(folder, precision=precision), input_ids, pixel_values)
    difference = float((logits.float() - expected.float()).abs().max())
    scale = float(expected.float().abs().max())
    allowed = _BF16_TOLERANCE * scale if precision == "bf16" else 1e-5 * max(1.0, scale)
    if not difference <= allowed:
        raise RunError(
            f"the model written to {folder} differs from the trained one by {difference:.3g} in "
            f"its logits (allowed: {allowed:.3g}); the checkpoint is kept, run again to export it"
        )


@torch.no_grad()
def probe_logits(
    model: LlavaForConditionalGeneration, input_ids: Tensor, pixel_values: Tensor
) -> Tensor:
    """Logits [1, T, vocabulary] by transformers' own forward, as any user of the export gets them.

    It refuses an image that no token shows, so that a text-only probe goes without.
    """
    has_image = bool((input_ids == model.config.image_token_index).any())
    logits: Tensor = model(
        input_ids=input_ids,
        pixel_values=pixel_values if has_image else None,
        use_cache=False,
    ).logits
    return logits


def _copy_processing(source: Path, folder: Path) -> None:
    for name in _COPIED:
        if (source / name).exists():
            shutil.copyfile(source / name, folder / name)
