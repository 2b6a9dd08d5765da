"""What a full or broken disk says, whoever reports it: the system, torch or safetensors."""

import errno
import os

import pytest

from qinstruct_trainer.contract.errors import DataError, StorageError
from qinstruct_trainer.storage_errors import DiskFailure, storage_errors

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
