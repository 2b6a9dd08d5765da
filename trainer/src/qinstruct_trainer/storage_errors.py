"""A full or broken disk as one sentence for the user. Torch-free."""

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from qinstruct_trainer.contract.errors import RunError, StorageError

NO_SPACE: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""What the system says when a volume, a quota or a file is full."""


@dataclass(frozen=True)
class DiskFailure:
    """Why a file could not be read or written.

    Attributes:
        is_full: Whether the volume, the quota or the file is full.
        reason: The system's words.
        path: The file, where the system names it.
    """

    is_full: bool
    reason: str
    path: str | None = None


def result_sentence(what: str, failure: DiskFailure) -> str:
    """The sentence about a result of training in the output folder."""
    if failure.is_full:
        return (
            f"{what} cannot be written to its end, because the disk is full; "
            "free space or enlarge output.size, then run again"
        )
    return f"{what} cannot be written: {failure.reason}; check the volume, then run again"


@contextmanager
def storage_errors(
    what: str, sentence: Callable[[str, DiskFailure], str] = result_sentence
) -> Iterator[None]:
    """Turn a full or broken disk into a sentence about `what`.

    Raises:
        StorageError: in place of the system's or a library's exception.
    """
    try:
        yield
    except RunError:  # has its sentence already
        raise
    except Exception as error:
        failure = _disk_failure(error)
        if failure is None:
            raise
        raise StorageError(sentence(what, failure)) from error


def _disk_failure(error: Exception) -> DiskFailure | None:
    """What the exception says about the disk; None if it is about something else.

    torch's serializer reports a short write as RuntimeError, without the errno; safetensors has
    an exception of its own with the system's text in it.
    """
    text = str(error)
    if isinstance(error, OSError):
        path = None if error.filename is None else str(error.filename)
        return DiskFailure(error.errno in NO_SPACE, error.strerror or text, path)
    is_short_write = "PytorchStreamWriter" in text or "unexpected pos" in text
    if is_short_write or os.strerror(errno.ENOSPC) in text:
        return DiskFailure(is_full=True, reason=text)
    return None
