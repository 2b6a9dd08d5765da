"""A full or broken disk as one sentence for the user. Torch-free."""

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from socket import gaierror
from typing import Final

from qinstruct_trainer.contract.errors import (
    OutOfMemoryError,
    RunError,
    StorageError,
    UnavailableError,
)

NO_SPACE: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""What the system says when a volume, a quota or a file is full."""

OF_THE_MACHINE: Final = frozenset(
    {
        *(errno.EIO, errno.ESTALE, errno.EREMOTEIO, errno.ENODEV, errno.ENXIO, errno.ENOTCONN),
        *(errno.EACCES, errno.EPERM, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ETIMEDOUT),
    }
)
"""What says nothing of a file's content: rights, a volume that is gone, limits of the process."""

_RIGHTS: Final = frozenset({errno.EACCES, errno.EPERM})
_TOO_MANY: Final = frozenset({errno.EMFILE, errno.ENFILE})
# Where they name no file:
_OF_THE_NET: Final = (ConnectionError, TimeoutError, gaierror)
_OF_PROCESSES: Final = (BlockingIOError, ChildProcessError)


@dataclass(frozen=True)
class DiskFailure:
    """Why a file could not be read or written.

    Attributes:
        is_full: Whether the volume, the quota or the file is full.
        reason: The system's words.
        path: The file, where the system names it.
        number: The system's number of it, where it has one.
    """

    is_full: bool
    reason: str
    path: str | None = None
    number: int | None = None


def result_sentence(what: str, failure: DiskFailure) -> str:
    """The sentence about a result of training in the output folder."""
    if failure.is_full:
        return (
            f"{what} cannot be written to its end, because the disk is full; "
            "free space or enlarge output.size, then run again"
        )
    return f"{what} cannot be written: {failure.reason}; check the volume, then run again"


def file_sentence(what: str, failure: DiskFailure) -> str:
    """The sentence about a file that the system names; where it names none, about `what`."""
    place = failure.path or what
    if failure.is_full:
        return f"{place} cannot be written, because the disk is full; free space and run again"
    return f"{place} cannot be read or written: {failure.reason}; {way_out(Path(place), failure)}"


def way_out(path: Path, failure: DiskFailure) -> str:
    """Whose the file is and who we are, where that is the reason; and what to do, in any case."""
    if failure.number in _RIGHTS or failure.number == errno.EROFS:
        place = next(place for place in (path, *path.parents) if os.path.exists(place))  # noqa: PTH110 - Path's raises where a folder above may not be searched
        status, us = place.stat(), f"{os.geteuid()}:{os.getegid()}"
        owner = f"{status.st_uid}:{status.st_gid} with mode {stat.filemode(status.st_mode)}"
        whose = f"{place} belongs to {owner}, and this process is {us}"
        if failure.number in _RIGHTS:
            return f"{whose}; `chown -R {us} {place}` gives it to this user"
        return f"{whose}; mount the volume so that it can be written"
    if failure.number in _TOO_MANY:
        return "raise the limit of open files (`ulimit -n`) and run again"
    if failure.number == errno.ENAMETOOLONG:
        return "give it a shorter name"
    return "check the volume, then run again; finished work is kept"


@contextmanager
def storage_errors(
    what: str, sentence: Callable[[str, DiskFailure], str] = result_sentence
) -> Iterator[None]:
    """Turn a full or broken disk into a sentence about `what`.

    Raises:
        StorageError: in place of the system's or a library's exception.
        UnavailableError, OutOfMemoryError: in place of the system's about the net or processes.
    """
    try:
        yield
    except RunError:  # has its sentence already
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.filename is None:
            _refuse_what_is_of_no_file(error)
        failure = _disk_failure(error)
        if failure is None:
            raise
        raise StorageError(sentence(what, failure)) from error


def _refuse_what_is_of_no_file(error: OSError) -> None:
    said = error.strerror or type(error).__name__
    if isinstance(error, _OF_THE_NET):
        raise UnavailableError(f"a connection failed ({said}); run again later") from error
    if isinstance(error, _OF_PROCESSES) or error.errno == errno.ENOMEM:
        raise OutOfMemoryError(
            f"this machine has no room for another process ({said}); raise its limits of "
            "processes and memory, then run again"
        ) from error


def _disk_failure(error: Exception) -> DiskFailure | None:
    """What the exception says about the disk; None if it is about something else.

    torch's serializer reports a short write as RuntimeError, without the errno; safetensors has
    an exception of its own with the system's text in it.
    """
    text = str(error)
    if isinstance(error, OSError):
        path = None if error.filename is None else str(error.filename)
        return DiskFailure(error.errno in NO_SPACE, error.strerror or text, path, error.errno)
    is_short_write = "PytorchStreamWriter" in text or "unexpected pos" in text
    if is_short_write or os.strerror(errno.ENOSPC) in text:
        return DiskFailure(is_full=True, reason=text)
    return None
