"""Stored tensors of any published layout to one sharded checkpoint in the hub layout."""

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import torch
from torch import Tensor
from transformers import LlavaConfig

from qinstruct_trainer.contract.errors import DataError
from qinstruct_trainer.model.parameter_names import EMBEDDING, HEAD, Rules, hub_shapes, rename
from qinstruct_trainer.model.tensors import StoredTensor, save_tensors

Progress = Callable[[int, int], None]
"""Called with the bytes done and the bytes in total."""

MAX_SHARD_BYTES = 4 << 30
# The published conversion pads 32,000 pieces + `<image>` + `<pad>` to 32,064 rows.
VOCABULARY_MULTIPLE = 64


def padded_rows(num_tokens: int) -> int:
    """Rows of the embedding and of the head for so many tokens."""
    return -(-num_tokens // VOCABULARY_MULTIPLE) * VOCABULARY_MULTIPLE


def collect(parts: Iterable[tuple[list[StoredTensor], Rules]]) -> dict[str, StoredTensor]:
    """The tensors of several checkpoints by their hub names, the unneeded ones left out.

    Raises:
        DataError: a tensor is unknown, or comes twice.
    """
    found: dict[str, StoredTensor] = {}
    for tensors, rules in parts:
        for tensor in tensors:
            try:
                name = rename(tensor.name, rules)
            except DataError as error:
                raise DataError(f"{tensor.file} {error}") from error
            if name is None:
                continue
            if name in found:
                raise DataError(
                    f"{tensor.file} holds {tensor.name}, which {found[name].file} has already; "
                    "remove one of the two files"
                )
            found[name] = tensor
    return found


def check_tensors(
    found: Mapping[str, StoredTensor],
    shapes: Mapping[str, tuple[int, ...]],
    *,
    unpadded_rows: int | None = None,
) -> None:
    """Check that a checkpoint's tensors are those of its configuration, no more and no fewer.

    Args:
        found: By hub name.
        shapes: What there must be, by hub name.
        unpadded_rows: Rows that embedding and head may have instead of their padded number.

    Raises:
        DataError: a tensor is missing, extra, has another shape, or no floating-point numbers.
    """
    missing = [name for name in shapes if name not in found]
    if missing:
        raise DataError(
            f"the checkpoint lacks {len(missing)} of {len(shapes)} tensors, the first is "
            f"{missing[0]}; its files are incomplete or belong to another model"
        )
    for name, tensor in found.items():
        if name not in shapes:
            raise DataError(
                f"{tensor.file} holds {tensor.name}, which a model of its config.json does not "
                "have; the files belong to different models"
            )
        accepted = [shapes[name]]
        if unpadded_rows is not None and name in (EMBEDDING, HEAD):
            accepted.append((unpadded_rows, *shapes[name][1:]))
        if not tensor.dtype.is_floating_point:
            raise DataError(
                f"{tensor.file} holds {tensor.name} as {tensor.dtype}, which is no number that "
                "can be trained; use a checkpoint with weights in float16, bfloat16 or float32"
            )
        if tensor.shape not in accepted:
            raise DataError(
                f"{tensor.file} holds {tensor.name} as {list(tensor.shape)}, its config.json asks "
                f"for {list(accepted[-1])}; the files belong to different models"
            )


def convert(
    found: Mapping[str, StoredTensor],
    config: LlavaConfig,
    folder: Path,
    *,
    progress: Progress,
    max_shard_bytes: int = MAX_SHARD_BYTES,
) -> None:
    """Write the weights shard by shard; at most one shard is in memory.

    Values keep their dtype and their bits. An embedding or a head of the text vocabulary alone
    is filled up with the mean of its rows. The added rows are never trained; a mean has an
    ordinary scale as input, and as output its logit is the mean logit, never the largest.

    Raises:
        DataError: a tensor is missing, extra, or has another shape than the configuration says.
        StorageError: the disk is full or broken.
    """
    shapes = hub_shapes(config)
    check_tensors(found, shapes, unpadded_rows=config.image_token_index)
    shards = _plan_shards(found, shapes, max_shard_bytes)
    total = sum(_num_bytes(found[name], shapes[name]) for name in shapes)
    done = 0
    weight_map = {}
    for number, names in enumerate(shards, start=1):
        file = "model.safetensors"
        if len(shards) > 1:
            file = f"model-{number:05d}-of-{len(shards):05d}.safetensors"
        content = {}
        for name in names:
            content[name] = _fill_rows(found[name].load(), shapes[name]).contiguous()
            weight_map[name] = file
            done += content[name].nbytes
            progress(done, total)
        save_tensors(content, folder / file)
    if len(shards) > 1:
        index = {"metadata": {"total_size": total}, "weight_map": weight_map}
        text = json.dumps(index, indent=2, sort_keys=True) + "\n"
        (folder / "model.safetensors.index.json").write_text(text, "utf-8")


def _num_bytes(tensor: StoredTensor, shape: tuple[int, ...]) -> int:
    """Of the tensor as it will be written, with its rows filled up."""
    return tensor.num_bytes // tensor.shape[0] * shape[0]


def _plan_shards(
    found: Mapping[str, StoredTensor], shapes: Mapping[str, tuple[int, ...]], max_bytes: int
) -> list[list[str]]:
    shards: list[list[str]] = [[]]
    room = max_bytes
    for name, shape in shapes.items():
        size = _num_bytes(found[name], shape)
        if size > room and shards[-1]:
            shards.append([])
            room = max_bytes
        shards[-1].append(name)
        room -= size
    return shards


def _fill_rows(tensor: Tensor, shape: tuple[int, ...]) -> Tensor:
    if tensor.shape == shape:
        return tensor
    mean = tensor.float().mean(dim=0, keepdim=True).to(tensor.dtype)
    return torch.cat([tensor, mean.expand(shape[0] - tensor.shape[0], -1)])
