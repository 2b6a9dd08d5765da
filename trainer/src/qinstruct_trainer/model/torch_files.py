"""Torch files that are not trusted: the only reader of them, and it runs nothing.

A torch file is a zip with a pickle that calls functions by name. Whoever may write the file may
also write the digests beside it, so that nothing but the file itself can be believed: the names
in its pickle are compared with those of weights, it may not grow when it is read, and what comes
out is plain values and dense tensors that have all their bytes in the file.
"""

import errno
import os
import pickle
import pickletools
import shlex
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final

import torch
from torch import Tensor

from qinstruct_trainer.contract.errors import DataError
from qinstruct_trainer.file_kinds import LEGACY_TORCH, file_kind, instead

_MAX_PICKLE_BYTES = 64 << 20  # of the published 13B model it has 200 KB
_CONVERT = (
    "python -c \"import sys, torch; f = sys.argv[1]; torch.save(torch.load(f, 'cpu', "
    'weights_only=True), f)"'
)
_ZIP: Final = b"PK\x03\x04"
_PROTOCOL = 2  # torch's; later ones name functions in other ways
_DTYPES = ("Float", "Double", "Half", "BFloat16", "Long", "Int", "Short", "Char", "Byte", "Bool")
_NAMES: Final = frozenset(
    {
        "collections OrderedDict",
        "torch Size",
        "torch Tensor",  # ZeRO-3 notes a number on each tensor: a tensor with attributes
        "torch._tensor _rebuild_from_type_v2",
        "torch._utils _rebuild_tensor_v2",
        "torch._utils _rebuild_parameter",
        "torch.nn.parameter Parameter",
        *(f"torch {dtype}Storage" for dtype in _DTYPES),
    }
)
_HOOKS = ("_backward_hooks", "_post_accumulate_grad_hooks")
_PLAIN = (str, bytes, int, float, bool, type(None), torch.Size, torch.dtype)


def read_torch_file(
    path: Path, *, classes: Sequence[type] = (), numbers: Sequence[str] = ()
) -> Any:
    """The content of a torch file that stands in a run's own folder: no link is followed.

    What is checked is what is read, also if the file is exchanged meanwhile.

    Args:
        path: The file.
        classes: Of objects that may be in it, beside plain values and tensors. No attribute may
            stand in place of what the class has.
        numbers: Full names of enumerations that are read as plain numbers: their members are of
            the whole process, and a file could change them.

    Raises:
        DataError: it is damaged, or holds more than that.
        OSError: it cannot be read.
    """
    with _open_plain_file(path) as file, _as_data_error(path):
        known = {f"{kind.__module__}.{kind.__qualname__}": kind for kind in classes}
        known |= dict.fromkeys(numbers, int)
        _check_archive(path, file, known)
        file.seek(0)
        with torch.serialization.safe_globals([(kind, name) for name, kind in known.items()]):
            content = torch.load(file, map_location="cpu", weights_only=True)
    _check_values(path, content, tuple(classes))
    return content


def map_torch_file(path: Path) -> Any:
    """The content of a downloaded torch file; its tensors stay on the disk until they are used.

    Raises:
        DataError: it cannot be read, is damaged, or holds more than plain values and tensors.
    """
    with _as_data_error(path):
        with path.open("rb") as file:
            _check_archive(path, file, {})
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    _check_values(path, content, ())
    return content


@contextmanager
def _open_plain_file(path: Path) -> Iterator[IO[bytes]]:
    try:
        # Without a writer a pipe would be waited for, for ever.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if not path.is_symlink():
            raise
        raise DataError(f"{path} is a link, which no checkpoint has") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise DataError(f"{path} is no plain file")
    with os.fdopen(descriptor, "rb") as file:
        yield file


def _check_archive(path: Path, file: IO[bytes], known: Mapping[str, type]) -> None:
    """Look at what is in the file before torch builds anything of it."""
    # A zip is found from its end; a file that begins in another way torch reads in another way.
    if file.read(len(_ZIP)) != _ZIP:
        raise _not_whole(path)
    file.seek(0)
    reader: Any = torch._C.PyTorchFileReader(file)  # torch's own: no other can read differently
    records = reader.get_all_records()
    unpacked = sum(reader.get_record_size(name) for name in records)
    if unpacked > os.fstat(file.fileno()).st_size:
        raise DataError(f"{path} holds {unpacked:,} bytes, more than it has, as only a bomb does")
    if reader.get_record_size("data.pkl") > _MAX_PICKLE_BYTES:
        raise DataError(f"{path} describes its tensors in more than {_MAX_PICKLE_BYTES:,} bytes")
    allowed = _NAMES | {" ".join(name.rsplit(".", 1)) for name in known}
    for operation, argument, _ in pickletools.genops(reader.get_record("data.pkl")):
        if operation.proto > _PROTOCOL:
            raise DataError(f"{path} is a pickle of another kind than torch writes")
        if operation.name == "GLOBAL" and argument not in allowed:
            raise DataError(
                f"{path} is a pickle that holds more than tensors "
                f"({str(argument).replace(' ', '.')!r:.100}); it may run code and is not loaded"
            )


@contextmanager
def _as_data_error(path: Path) -> Iterator[None]:
    try:
        yield
    except (DataError, MemoryError):  # the second says nothing of the file
        raise
    except pickle.UnpicklingError as error:
        raise DataError(
            f"{path} is a pickle that holds more than tensors; it may run code and is not loaded"
        ) from error
    except OSError as error:
        if error.errno != errno.EINVAL:  # of a place before the start: it is cut
            raise
        raise _not_whole(path) from error
    except Exception as error:  # a damaged pickle is a program with errors of any kind
        raise _not_whole(path) from error


def _not_whole(path: Path) -> DataError:
    """What the library says of it is a guess: it takes every file for one of its own."""
    if file_kind(path) == LEGACY_TORCH:
        return DataError(
            f"{path} is {LEGACY_TORCH.name}; convert it: {_CONVERT} {shlex.quote(str(path))}"
        )
    what = instead(path, "a torch file", "is not a complete torch file", "a zip archive")
    return DataError(f"{path} {what}")


def _check_values(path: Path, content: object, classes: tuple[type, ...]) -> None:
    """Refuse all that a checkpoint's code would have to trust."""
    rest, seen = [content], {id(content)}
    held: dict[int, int] = {}  # bytes of each storage: where memory is promised freely, any number
    while rest:
        value = rest.pop()
        inner: list[Any] = []
        if isinstance(value, Tensor):
            inner = [_checked_attributes(path, value)]
            storage = value.untyped_storage()
            held[storage.data_ptr()] = storage.nbytes()
        elif isinstance(value, Mapping):
            inner = [*value.keys(), *value.values(), _checked_notes(path, value)]
        elif isinstance(value, list | tuple | set | frozenset):
            inner = list(value)
        elif type(value) in classes:
            inner = [_checked_object(path, value)]
        elif not isinstance(value, _PLAIN):
            raise DataError(f"{path} holds a {type(value).__name__}, which no checkpoint has")
        rest += (part for part in inner if id(part) not in seen)
        seen.update(map(id, inner))
    if sum(held.values()) > path.stat().st_size:
        raise DataError(f"{path} holds tensors that are larger than the file")


def _checked_attributes(path: Path, tensor: Tensor) -> dict[str, Any]:
    """What is noted on a tensor, which is dense, on the CPU and has its bytes in the file."""
    noted: dict[str, Any] = tensor.__dict__
    if hidden := [name for name in noted if hasattr(Tensor, name)]:
        raise DataError(f"{path} holds a tensor whose {hidden[0]} is replaced")
    kind = type(tensor)
    is_dense = tensor.layout == torch.strided and not tensor.is_quantized
    if kind not in (Tensor, torch.nn.Parameter) or not is_dense or tensor.device.type != "cpu":
        raise DataError(f"{path} holds a tensor that is not dense, or without values")
    if tensor.grad is not None or any(getattr(tensor, name) for name in _HOOKS):
        raise DataError(f"{path} holds a tensor with a gradient, or with what to call for one")
    if tensor.is_neg():
        raise DataError(f"{path} holds a tensor whose values are not those that it stores")
    if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        raise DataError(f"{path} holds a tensor that says it has more values than it has")
    return noted


def _checked_notes(path: Path, mapping: Mapping[Any, Any]) -> dict[str, Any]:
    """What is noted on a dictionary: nothing but the versions of a module's weights."""
    noted: dict[str, Any] = getattr(mapping, "__dict__", {})
    if more := noted.keys() - {"_metadata"}:
        raise DataError(f"{path} holds a dictionary with {sorted(more)[0]!r:.100} noted on it")
    return noted


def _checked_object(path: Path, value: object) -> dict[str, Any]:
    attributes = vars(value)
    if hidden := [name for name in attributes if hasattr(type(value), name)]:
        raise DataError(f"{path} holds a {type(value).__name__} whose {hidden[0]} is replaced")
    return attributes
