"""Who uses a unit: one file for each preparation that does, in `<cache>/uses/<unit>/`.

A run needs its units long after its preparation has ended: it waits for GPUs, perhaps for days,
and training maps the index where it may not write. So what protects a unit is no heartbeat but a
file that stays until the run is known to have ended (`state_of`).

Whoever deletes a unit must first delete its folder of uses, which a file system refuses while it
holds a file; whoever begins to use one must first put its file there, which fails when the folder
is gone. Both are single operations of the server of a shared file system, which no cache of
names, no clock and no lock of a client has a part in. The folder itself is made under the unit's
lease, and deleted under it.
"""

import errno
import os
import secrets
import socket
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from qinstruct_trainer.contract import output_files
from qinstruct_trainer.durable_files import read_bounded, write_durably
from qinstruct_trainer.lease import is_free

State = Literal["unfinished", "complete", "gone"]

_FOLDER: Final = "uses"
_HALF_WRITTEN: Final = "."  # how such a file's name begins (write_durably)
_MAX_BYTES: Final = 1 << 14
_GONE: Final = (errno.ENOENT, errno.ESTALE)


class Use(BaseModel):
    """What a file of use says.

    Attributes:
        run: Name of the run.
        output: Its folder, absolute; "" where it has none.
        place: The machine, and the folder that the output folder is in, as `place_of` has it.
    """

    model_config = ConfigDict(frozen=True)
    run: str = Field(max_length=1000)
    output: str = Field(default="", max_length=4096)
    place: str = Field(default="", max_length=1000)


@dataclass(frozen=True)
class FoundUse:
    """A file of use.

    Attributes:
        path: The file.
        use: What it says; of a file that says nothing, its name in the place of the run's.
        time: When the run began to use the unit, Unix time in seconds.
    """

    path: Path
    use: Use
    time: float


class Uses:
    """The uses of one preparation. Its files are named by a random word: no two ever share one."""

    def __init__(self, cache: Path, run: str, output: Path | None):
        folder = "" if output is None else str(output.absolute())
        place = "" if output is None else place_of(output.absolute())
        self._root = cache / _FOLDER
        self._use = Use(run=run[:1000], output=folder[:4096], place=place)
        self._name = f"{secrets.token_hex(8)}.json"

    def join(self, unit: str) -> bool:
        """Use a unit from now on; False where nobody has, or it is being deleted.

        Raises:
            OSError: the cache cannot be written.
        """
        folder = self._root / unit
        _refuse_links(self._root, folder)
        path = folder / self._name
        if os.path.lexists(path):  # this preparation uses it already
            return True
        try:
            write_durably(path, self._use.model_dump_json())
        except OSError as error:
            if error.errno in _GONE:
                return False
            raise
        self._forget_earlier(unit)
        return True

    def begin(self, unit: str) -> None:
        """The same where the unit's lease is held, so that nobody is deleting it.

        Raises:
            OSError: the cache cannot be written.
        """
        folder = self._root / unit
        _refuse_links(self._root, folder)
        folder.mkdir(parents=True, exist_ok=True)
        self.join(unit)

    def leave(self, unit: str) -> None:
        """Use a unit no longer.

        Raises:
            OSError: the cache cannot be written.
        """
        (self._root / unit / self._name).unlink(missing_ok=True)

    def _forget_earlier(self, unit: str) -> None:
        """Delete the files of earlier preparations of this run, in whose place this one's is."""
        for found in uses_of(self._root.parent, unit):
            if found.use == self._use and found.path.name != self._name:
                with suppress(OSError):
                    found.path.unlink(missing_ok=True)


def uses_of(cache: Path, unit: str) -> tuple[FoundUse, ...]:
    """The files of use of a unit, the oldest first; a link is not followed.

    Raises:
        OSError: the folder is there and cannot be read.
    """
    return tuple(sorted(_read_all(cache / _FOLDER / unit), key=lambda found: found.time))


def is_linked(cache: Path, unit: str) -> bool:
    """Whether a link stands where the folder of a unit's uses should be."""
    return (cache / _FOLDER / unit).is_symlink()


def remove_uses(cache: Path, unit: str, ended: tuple[FoundUse, ...]) -> bool:
    """Delete the files of runs that have ended, and the folder; False where another run has come.

    The unit's lease must be held.

    Raises:
        OSError: the cache cannot be written.
    """
    folder = cache / _FOLDER / unit
    for found in ended:
        found.path.unlink(missing_ok=True)
    for path in folder.glob(f"{_HALF_WRITTEN}*"):
        with suppress(OSError):  # whoever writes it finds that it is too late, or the folder stays
            path.unlink(missing_ok=True)
    try:
        folder.rmdir()
    except FileNotFoundError:  # of a unit that nobody has used
        return True
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
            return False
        raise
    return True


def state_of(use: Use) -> State:
    """What is known of a run from here.

    `complete`: its folder has the model and nobody works in it. `gone`: its folder was deleted,
    and the folder around it is the one that the run knew, not a volume that is not mounted. Of a
    run on another machine or in a pod nothing can be known: it counts as unfinished until a
    person says otherwise.
    """
    output = Path(use.output)
    try:
        if not use.place or place_of(output) != use.place:
            return "unfinished"
        if not os.path.lexists(output):
            return "gone"
        has_model = (output / output_files.MODEL).is_dir()
        return "complete" if has_model and is_free(output / output_files.LEASE) else "unfinished"
    except (OSError, ValueError):
        return "unfinished"


def place_of(output: Path) -> str:
    """This machine's name, and the identity of the folder that an output folder is in; "" of none.

    Two containers with one name have different root folders.
    """
    try:
        status = output.parent.stat()
    except OSError:
        return ""
    return f"{socket.gethostname()[:200]} {status.st_dev}:{status.st_ino}"


def _read_all(folder: Path) -> Iterator[FoundUse]:
    if folder.is_symlink() or not folder.is_dir():
        return
    for path in sorted(folder.iterdir()):
        if path.name.startswith(_HALF_WRITTEN):
            continue  # nobody's yet, and of one that was killed never
        with suppress(FileNotFoundError):  # its run has just replaced it
            yield FoundUse(path, _read(path), path.lstat().st_mtime)


def _read(path: Path) -> Use:
    try:
        return Use.model_validate_json(read_bounded(path, _MAX_BYTES))
    except FileNotFoundError:
        raise
    except (OSError, ValidationError):  # not ours: somebody's use all the same
        return Use(run=path.name[:200])


def _refuse_links(*folders: Path) -> None:
    for folder in folders:
        if folder.is_symlink():
            raise OSError(errno.ELOOP, "it is a link, which is not followed", str(folder))
