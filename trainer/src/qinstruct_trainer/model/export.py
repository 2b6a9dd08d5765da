"""The finished model on disk: the hub layout that every tool reads, proven by loading it back."""

import shutil
from collections.abc import Iterable, Mapping
from math import sqrt
from pathlib import Path
from typing import Any, cast

import torch
from huggingface_hub import save_torch_state_dict
from torch import Tensor
from transformers import LlavaConfig, LlavaForConditionalGeneration

from qinstruct_trainer.contract.config import Attention, Precision
from qinstruct_trainer.contract.errors import RunError
from qinstruct_trainer.model.llava import DTYPES, load_checked
from qinstruct_trainer.model.parameter_names import hub_name, hub_shapes
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
)

_BOOKKEEPING = ("_name_or_path", "transformers_version")


def dry_run_export(model: LlavaForConditionalGeneration, source: Path, folder: Path) -> None:
    """Write all files but the weights, so that a bad config fails before the first step.

    The classic: a generation config that save_pretrained refuses, after 20 hours (LLaVA issues
    1144, 1252, 1635).

    Raises:
        RunError: transformers refuses to write a config.
    """
    _write_description(model, source, folder)


def write_export(
    model: LlavaForConditionalGeneration,
    state_dict: dict[str, Tensor],
    source: Path,
    folder: Path,
) -> None:
    """Write the model in the hub layout.

    Not by save_pretrained, which gives the names that every tool reads only to a model that
    from_pretrained has loaded.

    Args:
        model: For its config and generation config; its parameters may be shards.
        state_dict: All weights by their names in memory, on the CPU.
        source: The starting checkpoint: tokenizer and processor are copied from it.
        folder: A new folder.

    Raises:
        RunError: the names on disk are not those of the hub layout.
    """
    _write_description(model, source, folder)
    save_torch_state_dict(
        {hub_name(name): value for name, value in state_dict.items()},
        folder,
        max_shard_size="4GB",
    )
    for weights in folder.glob("*.safetensors"):
        make_readable(weights)
    written = {tensor.name for tensor in open_checkpoint(folder)}
    wrong = sorted(written ^ hub_shapes(model.config).keys())
    if wrong:
        raise RunError(
            f"the model written to {folder} is not in the hub layout, the first wrong or missing "
            f"tensor is {wrong[0]}; other tools would replace it by random values"
        )


def first_difference(
    folder: Path, weights: Iterable[tuple[str, Tensor]], *, compare: bool = True
) -> str | None:
    """Compare the weights in training with the written ones, bit for bit.

    Args:
        folder: What `write_export` wrote.
        weights: Names in memory and values; taken to the end, as a collective call must be.
        compare: False in a process that only takes part in gathering them.

    Returns:
        The name on disk of the first tensor that differs; None where there is none.
    """
    stored = {tensor.name: tensor for tensor in open_checkpoint(folder)} if compare else {}
    found = None
    for name, value in weights:
        if compare and found is None:
            written = stored[hub_name(name)]
            if written.dtype != value.dtype or not torch.equal(written.load(), value.cpu()):
                found = written.name
    return found


def check_export(
    folder: Path,
    trained: LlavaForConditionalGeneration,
    *,
    precision: Precision,
    attention: Attention = "sdpa",
    device: torch.device | str = "cpu",
    input_ids: Tensor,
    pixel_values: Tensor,
    expected: Tensor,
) -> None:
    """Load the export as its users will, and compare it with the model in memory.

    Configuration and buffers must be the same, bit for bit; that weights are,
    `first_difference` says. Logits may differ by rounding alone (`logit_tolerance`).

    Args:
        folder: What `write_export` wrote.
        trained: The model in memory; its parameters may be shards.
        precision: Of the training.
        attention: Of the training, so that rounding is the same as far as possible.
        device: Where to compute: one thread would take minutes for a large model.
        input_ids: [1, T].
        pixel_values: [1, 3, S, S]; not used when the ids hold no image token.
        expected: [1, T, vocabulary] logits of the model in memory, on the CPU.

    Raises:
        DataError: the folder does not load completely.
        RunError: it loads, but as another model.
    """
    model = load_checked(folder, precision=precision, attention=attention)
    names = [*_differences(_description(trained), _description(model))]
    names += _differences(dict(trained.named_buffers()), dict(model.named_buffers()))
    if names:
        raise RunError(
            f"the model was trained with another {names[0]} than the model written to {folder} "
            "has; the checkpoint is kept, report this with the versions of torch, transformers "
            "and deepspeed"
        )
    model.to(device)  # type: ignore[arg-type]
    logits = probe_logits(model, input_ids.to(device), pixel_values.to(device, model.dtype))
    difference = float(_rms(logits.cpu() - expected) / _rms(expected))
    allowed = logit_tolerance(model.config, precision)
    if not difference <= allowed:
        raise RunError(
            f"the model written to {folder} differs from the trained one by {difference:.3g} of "
            f"the size of its logits (allowed: {allowed:.3g}); the checkpoint is kept, run again "
            "to export it"
        )


def logit_tolerance(config: LlavaConfig, precision: Precision) -> float:
    """How far logits of the same weights may be apart, root mean square over their size.

    Two evaluations may use other kernels, which round in another order. A rounding is off by at
    most half a unit in the last place, u; evenly spread, by u / sqrt(3). Roundings that follow
    each other add up in quadrature (Higham, Accuracy and Stability of Numerical Algorithms, 2.8).
    A layer rounds four times on the way of the residual stream (two branches, two sums), and two
    evaluations do it independently. A float32 product of K terms sums them in float32, and adds
    sqrt(K) roundings; a bfloat16 one sums in float32 and rounds once. That is 5% for a 7B model in
    bf16: this gate finds another network, and only the comparison bit for bit finds other values.
    """
    text, vision = (cast("Any", part) for part in (config.text_config, config.vision_config))
    roundings = 4 * (text.num_hidden_layers + vision.num_hidden_layers + 2)
    terms = 1 if precision == "bf16" else max(text.intermediate_size, vision.intermediate_size)
    unit = torch.finfo(DTYPES[precision]).eps / 2
    return float(unit * sqrt(2 * roundings * terms / 3))


def _description(model: LlavaForConditionalGeneration) -> dict[str, Any]:
    """Every value of its configuration, by its path; without what says where it came from."""
    found = {}
    stack: list[tuple[str, Any]] = [("", model.config.to_dict())]
    while stack:
        path, value = stack.pop()
        if isinstance(value, dict):
            stack += [(f"{path}.{key}".lstrip("."), each) for key, each in value.items()]
        elif path not in _BOOKKEEPING:
            found[path] = value
    return found


def _differences(left: Mapping[str, Any], right: Mapping[str, Any]) -> list[str]:
    """Names that are not on both sides, or not with the same value."""
    return [
        name
        for name in sorted(left.keys() | right.keys())
        if name not in left or name not in right or not _is_same(left[name], right[name])
    ]


def _is_same(left: Any, right: Any) -> bool:
    if isinstance(left, Tensor):
        return left.dtype == right.dtype and torch.equal(left.cpu(), right)
    return bool(left == right)


def _rms(values: Tensor) -> Tensor:
    return values.double().square().mean().sqrt()


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


def _write_description(model: LlavaForConditionalGeneration, source: Path, folder: Path) -> None:
    """Write everything but the weights, into a new folder."""
    folder.mkdir(parents=True)
    try:
        model.config.save_pretrained(folder)
        model.generation_config.save_pretrained(folder)
    except ValueError as error:
        raise RunError(
            f"the model could not be exported after training ({' '.join(str(error).split())}); "
            f"correct config.json or generation_config.json in {source}"
        ) from error
    for name in _COPIED:
        if (source / name).exists():
            shutil.copyfile(source / name, folder / name)
