"""Whether prep and what follows can write where they must, asked before anything is done.

What training would find out after hours of preparation is found out in the first second: rights
on both volumes, those of folders that an earlier run left, and room.
"""

import errno
import os
import secrets
import shutil
from pathlib import Path
from typing import Final

from qinstruct_trainer.contract import output_files
from qinstruct_trainer.contract.errors import StorageError
from qinstruct_trainer.durable_files import allocated_bytes, write_durably
from qinstruct_trainer.storage_errors import DiskFailure, storage_errors, way_out

_PROBE: Final = "x" * 4096  # a file system may take an empty file when it is full
# What an earlier run made, perhaps as another user. Not all that is there: of a volume's
# `lost+found` nobody has the rights.
_IN_CACHE: Final = ("units", "units/.leases", "uses", "versions", "downloads", "downloads/hub")
_IN_OUTPUT: Final = (
    *(output_files.CHECKPOINTS, output_files.MODEL, output_files.PARTIAL_MODEL),
    output_files.METRICS,
)


def check_volumes(cache: Path, output: Path, cache_bytes: int = 0, output_bytes: int = 0) -> None:
    """Prove that both folders can be made, written and have room.

    Args:
        cache: Root of the shared unit cache.
        output: The run's own folder.
        cache_bytes: What a run adds to an empty cache; one with units may have it already.
        output_bytes: What the run's own folder holds at most, all of it.

    Raises:
        StorageError: names the folder, what is wrong, whose it is and who we are.
    """
    for folder, inside in ((cache, _IN_CACHE), (output, _IN_OUTPUT)):
        with storage_errors(str(folder), _sentence):
            _write_into(folder, inside)
    if not any(cache.glob("units/[!.]*")):  # the others are leases, and what a killed run left
        _check_room(cache, cache_bytes, 0)
    _check_room(output, output_bytes, allocated_bytes(output))


def _write_into(folder: Path, inside: tuple[str, ...]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    probe = folder / f".probe.{secrets.token_hex(8)}"  # a name that nobody can have taken
    write_durably(probe, _PROBE)
    probe.unlink()
    for path in (folder / name for name in inside):
        rights = os.W_OK | (os.X_OK if path.is_dir() else 0)
        if path.exists() and not os.access(path, rights, effective_ids=True):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))


def _sentence(folder: str, failure: DiskFailure) -> str:
    if failure.is_full:
        return f"{folder} cannot be written, because the disk is full; free space and run again"
    in_the_way = next(path for path in (Path(folder), *Path(folder).parents) if _is_there(path))
    if not in_the_way.is_dir():
        return f"{folder} cannot be made, because {in_the_way} is no folder; use another one"
    place = Path(failure.path or folder)
    shown = place if _is_there(place) else Path(folder)
    return f"{shown} cannot be written: {failure.reason}; {way_out(shown, failure)}"


def _is_there(path: Path) -> bool:
    """Also below a folder that may not be searched, where `Path.exists` raises."""
    return os.path.lexists(path)


def _check_room(folder: Path, needed: int, there: int) -> None:
    free = shutil.disk_usage(folder).free
    if free + there < needed:
        raise StorageError(
            f"{folder} has {free:,} bytes free and the run needs {needed - there:,} there; free "
            "space or use a larger volume, then run again"
        )
