"""Checkpoint files: lazy tensors of safetensors or torch files, never run; and the way back.

Nothing is read into memory before a tensor's `load`, so that a 26 GB checkpoint costs only
its names.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from math import prod
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from qinstruct_trainer.contract.errors import DataError, StorageError
from qinstruct_trainer.model.torch_files import map_torch_file
from qinstruct_trainer.model.weight_files import MAX_NAME, open_safetensors, weight_files

_SAFETENSORS_DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
}


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


def open_checkpoint(source: Path) -> list[StoredTensor]:
    """All tensors of a checkpoint folder, or of one weight file.

    A folder's safetensors win over its torch files, as in transformers.

    Raises:
        DataError: there are no weights, a shard is missing, or a file is damaged or unsafe.
    """
    return [tensor for file in weight_files(source) for tensor in _open_file(file)]


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


def _open_file(path: Path) -> list[StoredTensor]:
    tensors = _open_safetensors(path) if path.suffix == ".safetensors" else _open_torch(path)
    if any(len(tensor.name) > MAX_NAME for tensor in tensors):
        raise DataError(
            f"{path} holds a tensor with a name of over {MAX_NAME} characters, which no model "
            "has; fetch the checkpoint again"
        )
    return tensors


def _open_safetensors(path: Path) -> list[StoredTensor]:
    handle = open_safetensors(path, "pt")
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
