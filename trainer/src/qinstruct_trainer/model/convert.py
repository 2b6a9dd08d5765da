"""Stored tensors of any published layout to one sharded checkpoint in the hub layout."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from transformers import LlavaConfig

from qinstruct_trainer.contract.errors import DataError
from qinstruct_trainer.model.parameter_names import EMBEDDING, HEAD, Rules, hub_shapes, rename
from qinstruct_trainer.model.tensors import StoredTensor, save_tensors, view_again

Progress = Callable[[int, int], None]
"""Called with the bytes done and the bytes in total."""

# What a conversion needs of memory; a tensor of the published models has up to 330 MB.
MAX_SHARD_BYTES = 512 << 20
_ROWS_AT_ONCE = 1024
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
    """Write the weights in the hub layout, shard by shard; at most one shard is in memory.

    Values keep their dtype and their bits. An embedding or a head of the text vocabulary alone
    is filled up with the mean of its rows. The added rows are never trained; a mean has an
    ordinary scale as input, and as output its logit is the mean logit, never the largest.

    Raises:
        DataError: a tensor is missing, extra, or has another shape than the configuration says.
        StorageError: the disk is full or broken.
    """
    shapes = hub_shapes(config)
    check_tensors(found, shapes, unpadded_rows=config.image_token_index)
    pieces = [Piece(name, found[name], shape[0]) for name, shape in shapes.items()]
    write_shards(pieces, folder, progress=progress, max_shard_bytes=max_shard_bytes)


@dataclass(frozen=True)
class Piece:
    """A tensor to be written: its name there, where it is now, and its number of rows there."""

    name: str
    source: StoredTensor
    rows: int

    @property
    def num_bytes(self) -> int:
        """As it will be written."""
        return self.source.num_bytes // self.source.shape[0] * self.rows


def write_shards(
    pieces: Sequence[Piece],
    folder: Path,
    *,
    progress: Progress,
    max_shard_bytes: int = MAX_SHARD_BYTES,
) -> None:
    """Write a checkpoint's safetensors, in the order of its pieces.

    The values go from the pages of the source's files to the new ones; in memory are at most
    those of one new file, and what is added to fill up rows.

    Raises:
        DataError: a source was changed meanwhile.
        StorageError: the disk is full or broken.
    """
    shards = _plan_shards(pieces, max_shard_bytes)
    total = sum(piece.num_bytes for piece in pieces)
    done = 0
    weight_map: dict[str, str] = {}
    for number, shard in enumerate(shards, start=1):
        file = "model.safetensors"
        if len(shards) > 1:
            file = f"model-{number:05d}-of-{len(shards):05d}.safetensors"
        save_tensors(_content(shard), folder / file)
        weight_map |= {piece.name: file for piece in shard}
        done += sum(piece.num_bytes for piece in shard)
        progress(done, total)
    if len(shards) > 1:
        index = {"metadata": {"total_size": total}, "weight_map": weight_map}
        text = json.dumps(index, indent=2, sort_keys=True) + "\n"
        (folder / "model.safetensors.index.json").write_text(text, "utf-8")


def _content(shard: Sequence[Piece]) -> dict[str, Tensor]:
    content: dict[str, Tensor] = {}
    storages: set[int] = set()
    for piece, value in zip(shard, view_again([each.source for each in shard]), strict=True):
        rows = _fit_rows(value, piece.rows).contiguous()
        storage = rows.untyped_storage().data_ptr()
        # Tied tensors, and parts of a flat one, have one storage, which a file may name once.
        content[piece.name] = rows.clone() if storage in storages else rows
        storages.add(storage)
    return content


def _plan_shards(pieces: Sequence[Piece], max_bytes: int) -> list[list[Piece]]:
    shards: list[list[Piece]] = [[]]
    room = max_bytes
    for piece in pieces:
        if piece.num_bytes > room and shards[-1]:
            shards.append([])
            room = max_bytes
        shards[-1].append(piece)
        room -= piece.num_bytes
    return shards


def _fit_rows(tensor: Tensor, rows: int) -> Tensor:
    if len(tensor) >= rows:
        return tensor[:rows]
    mean = _mean_row(tensor).expand(rows - len(tensor), *tensor.shape[1:])
    return torch.cat([tensor, mean])


def _mean_row(tensor: Tensor) -> Tensor:
    """[1, ...]; a part at a time, because all of it would be four times as much in memory."""
    total = torch.zeros(1, *tensor.shape[1:], dtype=torch.float64)
    for start in range(0, len(tensor), _ROWS_AT_ONCE):
        total += tensor[start : start + _ROWS_AT_ONCE].double().sum(dim=0)
    return (total / len(tensor)).to(tensor.dtype)
