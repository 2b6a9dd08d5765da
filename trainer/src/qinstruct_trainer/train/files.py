"""Files that are on the disk when we say so: synced, digested, published by one rename."""

import errno
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from qinstruct_trainer.errors import StorageError

_CHUNK = 1 << 20
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def digest(path: Path, *, sync: bool = False) -> str:
    """sha256 of a file as hex; with `sync` the file is on the disk afterwards."""
    found = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            found.update(chunk)
        if sync:
            os.fsync(file.fileno())
    return found.hexdigest()


def sync_path(path: Path) -> None:
    """Bring a file or a folder's list of names to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(folder: Path) -> None:
    """Bring a folder and everything below it to the disk."""
    for path in [*folder.rglob("*"), folder]:
        sync_path(path)


def write_text_atomically(path: Path, text: str) -> None:
    """Replace a file as a whole, or not at all."""
    temporary = path.with_name(f".{path.name}.partial")
    temporary.write_text(text, "utf-8")
    sync_path(temporary)
    temporary.replace(path)


def num_bytes(folder: Path) -> int:
    """Size of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


@contextmanager
def storage_errors(what: str) -> Iterator[None]:
    """Turn a full or broken disk into a sentence about `what`.

    torch's serializer reports a short write as RuntimeError, without the errno; safetensors has
    an exception of its own with the system's text in it.

    Raises:
        StorageError: in place of those.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _NO_SPACE:
            raise _full(what) from error
        reason = error.strerror or str(error)
        raise StorageError(
            f"{what} cannot be written: {reason}; check the volume, then run again"
        ) from error
    except Exception as error:
        text = str(error)
        short_write = "PytorchStreamWriter" in text or "unexpected pos" in text
        if not short_write and os.strerror(errno.ENOSPC) not in text:
            raise
        raise _full(what) from error


def _full(what: str) -> StorageError:
    return StorageError(
        f"{what} cannot be written to its end, because the disk is full; "
        "free space or enlarge output.size, then run again"
    )
