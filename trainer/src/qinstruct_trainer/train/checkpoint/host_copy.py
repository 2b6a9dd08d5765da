"""A copy of a rank's state in this machine's memory, which further steps do not change.

What shares memory in the state shares it in the copy: DeepSpeed's tensors are views of a few large
buffers, and `torch.save` writes each buffer once.
"""

import pickle
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, Self

import torch
from torch import UntypedStorage
from torch.storage import TypedStorage

_cuda: Any = torch.cuda


@dataclass(frozen=True, eq=False)
class Described:
    """States without their values.

    Attributes:
        pickles: Of each file's state, with numbers in place of the buffers.
        buffers: Of all files, by their numbers; still the live ones.
    """

    pickles: Mapping[Path, bytes]
    buffers: Sequence[UntypedStorage]

    @classmethod
    def of(cls, states: Mapping[Path, Any]) -> Self:
        """Describe the states of some files."""
        buffers: dict[tuple[int, int], UntypedStorage] = {}
        pickles: dict[Path, bytes] = {}
        for path, state in states.items():
            content = BytesIO()
            _Pickler(content, buffers).dump(state)
            pickles[path] = content.getvalue()
        return cls(pickles, [*buffers.values()])


class HostBuffers:
    """This machine's memory for one copy after another: new memory costs more than the copy."""

    def __init__(self) -> None:
        self._held: list[UntypedStorage] = []

    def missing(self, described: Described) -> int:
        """Bytes that a copy needs beside what is held."""
        needed = Counter(buffer.nbytes() for buffer in described.buffers)
        needed.subtract(buffer.nbytes() for buffer in self._held)
        return sum(size * count for size, count in needed.items() if count > 0)

    def copy(self, described: Described) -> list[UntypedStorage]:
        """The values as they are now, buffer by buffer; valid until the next copy is made."""
        spare: defaultdict[int, list[UntypedStorage]] = defaultdict(list)
        for buffer in self._held:
            spare[buffer.nbytes()].append(buffer)
        sizes = [buffer.nbytes() for buffer in described.buffers]
        self._held = []  # what is not used again goes before new memory is taken
        taken = [spare[size].pop() if spare[size] else None for size in sizes]
        for unused in (buffer for buffers in spare.values() for buffer in buffers):
            _unpin(unused)
        spare.clear()
        on_gpu = any(buffer.device.type == "cuda" for buffer in described.buffers)
        for live, size, held in zip(described.buffers, sizes, taken, strict=True):
            host = _new(size, pinned=on_gpu) if held is None else held
            host.copy_(live, non_blocking=on_gpu)
            self._held.append(host)
        if on_gpu:
            torch.cuda.synchronize()  # the next step changes what is being copied
        return self._held

    def release(self) -> None:
        """Give all of it back."""
        for buffer in self._held:
            _unpin(buffer)
        self._held = []


def rebuild(pickled: bytes, buffers: Sequence[UntypedStorage]) -> Any:
    """The state of one file, made of copied buffers."""
    return _Unpickler(BytesIO(pickled), buffers).load()


class _Pickler(pickle.Pickler):
    """Pickles as `torch.save` does, but for the buffers."""

    def __init__(self, content: BytesIO, buffers: dict[tuple[int, int], UntypedStorage]):
        super().__init__(content, pickle.HIGHEST_PROTOCOL)
        self._buffers = buffers
        self._numbers = {key: number for number, key in enumerate(buffers)}

    def persistent_id(self, value: object) -> tuple[int, torch.dtype] | None:
        if not isinstance(value, TypedStorage):
            return None
        buffer = value._untyped_storage
        key = (buffer.data_ptr(), buffer.nbytes())
        self._buffers.setdefault(key, buffer)
        return self._numbers.setdefault(key, len(self._numbers)), value.dtype


class _Unpickler(pickle.Unpickler):
    """Reads what `_Pickler` has made in this process, and nothing else."""

    def __init__(self, content: BytesIO, buffers: Sequence[UntypedStorage]):
        super().__init__(content)
        self._buffers = buffers

    def persistent_load(self, number_and_type: tuple[int, torch.dtype]) -> TypedStorage:
        number, dtype = number_and_type
        make: Any = TypedStorage
        typed: TypedStorage = make(wrap_storage=self._buffers[number], dtype=dtype, _internal=True)
        return typed


def _new(size: int, *, pinned: bool) -> UntypedStorage:
    """Memory of exactly that size: torch's own pinned memory is rounded up to a power of two."""
    buffer = torch.empty(size, dtype=torch.uint8).untyped_storage()
    if pinned and size:
        failed = int(_cuda.cudart().cudaHostRegister(buffer.data_ptr(), size, 0))
        if failed:  # no more memory may be locked: the copy is slower, and as good
            with suppress(RuntimeError):  # CUDA would report it to whoever comes next
                torch.zeros(1, device="cuda")
    return buffer


def _unpin(buffer: UntypedStorage) -> None:
    if buffer.nbytes() and _cuda.is_initialized() and buffer.is_pinned():
        _cuda.cudart().cudaHostUnregister(buffer.data_ptr())
