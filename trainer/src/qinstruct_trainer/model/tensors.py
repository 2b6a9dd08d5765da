"""Checkpoint files: lazy tensors of safetensors or torch files, never run; and the way back.

Nothing is read into memory before a tensor's `load`, so that a 26 GB checkpoint costs only
its names.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from math import prod
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import BaseModel, Field, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from qinstruct_trainer.contract.errors import DataError, StorageError
from qinstruct_trainer.file_kinds import instead
from qinstruct_trainer.json_files import read_json
from qinstruct_trainer.model.torch_files import map_torch_file

_SAFETENSORS_DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
}
_MAX_NAME = 255  # characters, of a tensor or a file
_MAX_INDEX_BYTES = 16 << 20  # of the published models it has 100 KB
_WEIGHT_FILES = ("model.safetensors", "pytorch_model.bin", "mm_projector.bin")


@dataclass(frozen=True)
class StoredTensor:
    """A tensor that is still on the disk; `load` reads it.

    Attributes:
        view: The values where they are: pages of the file, in memory once they are read and
            as long as this object lives.
    """

    name: str
    shape: tuple[int, ...]
    dtype: torch.dtype
    file: Path
    load: Callable[[], Tensor]
    view: Callable[[], Tensor]

    @property
    def num_bytes(self) -> int:
        """Size in memory."""
        return prod(self.shape) * self.dtype.itemsize


class _ShardIndex(BaseModel):
    """`model.safetensors.index.json` and `pytorch_model.bin.index.json`."""

    weight_map: dict[str, Annotated[str, Field(max_length=_MAX_NAME)]]


def open_checkpoint(source: Path) -> list[StoredTensor]:
    """All tensors of a checkpoint folder, or of one weight file.

    A folder's safetensors win over its torch files, as in transformers.

    Raises:
        DataError: there are no weights, a shard is missing, or a file is damaged or unsafe.
    """
    if source.is_file():
        return _open_file(source)
    for name in _WEIGHT_FILES:
        if (source / name).is_file():
            return _open_file(source / name)
        if (source / f"{name}.index.json").is_file():
            shards = _shards(source / f"{name}.index.json")
            return [tensor for shard in shards for tensor in _open_file(shard)]
    raise DataError(
        f"{source} has no weights; expected one of {', '.join(_WEIGHT_FILES)}, "
        "or the first two in shards with an index.json"
    )


def view_again(tensors: Sequence[StoredTensor]) -> list[Tensor]:
    """The values of some tensors, in pages of files that are opened for them alone.

    What is read of them leaves the memory with them, and not when the whole checkpoint does.

    Raises:
        DataError: a file is not the one any more that the tensors were found in.
    """
    files = {path: _open_file(path) for path in {tensor.file for tensor in tensors}}
    opened = {(path, each.name): each for path, content in files.items() for each in content}
    values = []
    for tensor in tensors:
        found = opened.get((tensor.file, tensor.name))
        if found is None or (found.shape, found.dtype) != (tensor.shape, tensor.dtype):
            raise DataError(f"{tensor.file} was changed while it was read; run again")
        values.append(found.view())
    return values


def save_tensors(tensors: dict[str, Tensor], path: Path) -> None:
    """Write one safetensors file, readable to others.

    Raises:
        StorageError: the disk is full or broken.
    """
    try:
        save_file(tensors, path, {"format": "pt"})
    except SafetensorError as error:  # of the system's error it keeps the text alone
        raise StorageError(
            f"{path} cannot be written ({error}); make room on the volume, then run again"
        ) from error
    make_readable(path)


def make_readable(path: Path) -> None:
    """Undo the mode 0600 that safetensors gives: caches and models are shared."""
    path.chmod(0o644)


def _shards(index: Path) -> list[Path]:
    """The files that an index names, each of them beside it and present."""
    try:
        content = _ShardIndex.model_validate(read_json(index, max_bytes=_MAX_INDEX_BYTES))
        names = sorted(set(content.weight_map.values()))
    except ValidationError as error:
        raise DataError(
            f"{index} is not the index of a sharded checkpoint; fetch the checkpoint again"
        ) from error
    for name in names:
        if Path(name).name != name:
            raise DataError(f"{index} names the shard {name!r}, which is no plain file name")
        if not (index.parent / name).is_file():
            raise DataError(
                f"{index.parent} lacks the shard {name} that {index.name} names; "
                "the download is incomplete, fetch the checkpoint again"
            )
    return [index.parent / name for name in names]


def _open_file(path: Path) -> list[StoredTensor]:
    tensors = _open_safetensors(path) if path.suffix == ".safetensors" else _open_torch(path)
    if any(len(tensor.name) > _MAX_NAME for tensor in tensors):
        raise DataError(
            f"{path} holds a tensor with a name of over {_MAX_NAME} characters, which no model "
            "has; fetch the checkpoint again"
        )
    return tensors


def _open_safetensors(path: Path) -> list[StoredTensor]:
    try:
        handle: Any = safe_open(path, framework="pt")
    except (SafetensorError, OSError) as error:
        otherwise = f"is not a complete safetensors file ({error!s:.200})"
        what = instead(path, "a safetensors file", otherwise)
        raise DataError(f"{path} {what}; fetch it again") from error
    tensors = []
    for name in handle.keys():  # noqa: SIM118 - the handle is no mapping
        part = handle.get_slice(name)
        dtype = _SAFETENSORS_DTYPES.get(part.get_dtype())
        if dtype is None:
            raise DataError(
                f"{path} holds {name:.255} as {part.get_dtype()}; a checkpoint to train from has "
                f"one of {', '.join(_SAFETENSORS_DTYPES)}"
            )
        view = partial(handle.get_tensor, name)
        tensors.append(StoredTensor(name, tuple(part.get_shape()), dtype, path, view, view))
    return tensors


def _open_torch(path: Path) -> list[StoredTensor]:
    try:
        content = map_torch_file(path)
    except DataError as error:
        raise DataError(f"{error}; use a checkpoint in safetensors format") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}); fetch it again") from error
    if not isinstance(content, dict) or not all(map(torch.is_tensor, content.values())):
        raise DataError(f"{path} is no dictionary of tensors; use a checkpoint's weight file")
    return [
        StoredTensor(str(name), tuple(value.shape), value.dtype, path, value.clone, value.detach)
        for name, value in content.items()
    ]
