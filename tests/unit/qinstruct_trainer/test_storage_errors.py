"""What a full or broken disk says, whoever reports it: the system, torch or safetensors."""

import errno
import os
import re
import socket
from pathlib import Path

import pytest

from qinstruct_trainer.contract.errors import (
    DataError,
    OutOfMemoryError,
    StorageError,
    UnavailableError,
)
from qinstruct_trainer.storage_errors import DiskFailure, storage_errors, way_out

NO_SPACE = os.strerror(errno.ENOSPC)


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, NO_SPACE, "/out/model"),
        OSError(errno.EDQUOT, os.strerror(errno.EDQUOT)),
        RuntimeError("[enforce fail at inline_container.cc:664] . unexpected pos 128 vs 22"),
        RuntimeError("PytorchStreamWriter failed writing file data/0: file write failed"),
        ValueError(f"Error while serializing: I/O error: {NO_SPACE} (os error 28)"),
    ],
)
def test_a_full_disk_is_a_sentence(error: Exception) -> None:
    expected = "the model /out cannot be written to its end, because the disk is full; free space"
    with pytest.raises(StorageError, match=expected), storage_errors("the model /out"):
        raise error


def test_another_failure_keeps_the_reason_of_the_system() -> None:
    expected = "/out cannot be written: Input/output error; check the volume, then run again"
    with pytest.raises(StorageError, match=expected), storage_errors("/out"):
        raise OSError(errno.EIO, os.strerror(errno.EIO))


@pytest.mark.parametrize("error", [DataError(f"not ours: {NO_SPACE}"), RuntimeError("a bug")])
def test_what_is_not_of_the_disk_passes(error: Exception) -> None:
    with pytest.raises(type(error)) as caught, storage_errors("/out"):
        raise error
    assert caught.value is error


def test_the_caller_words_the_sentence() -> None:
    def sentence(what: str, failure: DiskFailure) -> str:
        return f"{what}: {failure.path}, {failure.is_full}, {failure.reason}"

    error = OSError(errno.EACCES, "Permission denied", "/cache/x")
    expected = "unit: /cache/x, False, Permission denied"
    with pytest.raises(StorageError, match=expected), storage_errors("unit", sentence):
        raise error


NET = "^a connection failed \\(.*\\); run again later$"
PROCESS = "^this machine has no room for another process \\(.*\\); raise its limits of"


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (ConnectionResetError(errno.ECONNRESET, "Connection reset"), UnavailableError, NET),
        (TimeoutError("timed out"), UnavailableError, NET),
        (socket.gaierror(socket.EAI_NONAME, "Name not known"), UnavailableError, NET),
        (BlockingIOError(errno.EAGAIN, "Try again"), OutOfMemoryError, PROCESS),  # of a fork
        (ChildProcessError(errno.ECHILD, "No child processes"), OutOfMemoryError, PROCESS),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), OutOfMemoryError, PROCESS),
    ],
)
def test_what_is_of_no_file_is_not_told_as_a_fault_of_the_disk(
    error: OSError, kind: type[Exception], words: str
) -> None:
    with pytest.raises(kind, match=words), storage_errors("/out"):
        raise error


def test_the_same_error_of_a_file_is() -> None:
    error = TimeoutError(errno.ETIMEDOUT, "Connection timed out", "/nfs/file")  # of a lost server
    expected = "^/out cannot be written: Connection timed out"
    with pytest.raises(StorageError, match=expected), storage_errors("/out"):
        raise error


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.EACCES, r"belongs to \d+:\d+ with mode drwx.*, and this process is \d+:\d+; `chown"),
        (errno.EROFS, "; mount the volume so that it can be written$"),
        (errno.EMFILE, "^raise the limit of open files"),
        (errno.EIO, "^check the volume"),
        (errno.ENAMETOOLONG, "^give it a shorter name$"),
    ],
)
def test_the_way_out_follows_from_what_it_was(number: int, words: str, tmp_path: Path) -> None:
    failure = DiskFailure(is_full=False, reason=os.strerror(number), number=number)
    assert re.search(words, way_out(tmp_path / "not" / "there", failure))
