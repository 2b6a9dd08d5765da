"""Folders of results: synced, measured, and a full disk said in a sentence."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from qinstruct_trainer.contract.errors import StorageError
from qinstruct_trainer.durable_files import NO_SPACE, sync_path


def sync_tree(folder: Path) -> None:
    """Bring a folder and everything below it to the disk."""
    for path in [*folder.rglob("*"), folder]:
        sync_path(path)


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
        if error.errno in NO_SPACE:
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
