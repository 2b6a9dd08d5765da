"""When a lease may be taken over, and which of those who try gets it."""

import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from qinstruct_trainer.durable_files import read_bounded
from qinstruct_trainer.lease.holder import FILE_BYTES, Holder

_NUMBER: Final = re.compile(r"[1-9][0-9]{0,17}")  # as we write it, and no other spelling


class Takeover:
    """A process that wants the lease, and what it has seen of the holder so far.

    Attributes:
        owner: Name of the holder seen last.
        is_holder_alive: Known to be: its process was found, or a heartbeat seen.
    """

    def __init__(self, path: Path, stale_seconds: float):
        self._path = path
        self._stale_seconds = stale_seconds
        self._seen: tuple[int, bytes] | None = None
        self._since = 0.0
        self.owner = ""
        self.is_holder_alive = False

    def free_number(self) -> int | None:
        """The number that may be claimed now, or None while the holder may be alive."""
        newest = newest_number(self._path)
        if newest == 0:
            return 1
        try:
            content = read_bounded(_file(self._path, newest), FILE_BYTES)
        except FileNotFoundError:  # a successor has just deleted it
            return None
        except OSError:  # no plain file: not ours, and as silent as a holder that died
            content = b""
        holder = Holder.parse(content)
        if holder is not None and (holder.released or holder.is_dead()):
            return newest + 1
        self.owner = holder.owner if holder else "another process"
        if self._seen != (newest, content):
            beat_seen = self._seen is not None and self._seen[0] == newest
            self.is_holder_alive = beat_seen or (holder is not None and holder.is_on_this_machine())
            self._seen = (newest, content)
            self._since = time.monotonic()
        return newest + 1 if time.monotonic() - self._since > self._stale_seconds else None


def claim(path: Path, number: int, holder: Holder) -> int | None:
    """Create the file of this number; its descriptor, or None when another process was first.

    Files of lower numbers are deleted.
    """
    mine = _file(path, number)
    try:
        descriptor = os.open(mine, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    except FileExistsError:
        return None
    os.pwrite(descriptor, holder.to_bytes(), 0)
    if newest_number(path) != number:  # it was free once, but is out of date
        os.close(descriptor)
        mine.unlink(missing_ok=True)
        return None
    for older in _numbers(path):
        if older < number:
            _file(path, older).unlink(missing_ok=True)
    return descriptor


def is_free(path: Path) -> bool:
    """Whether nobody holds it: never taken, released, or its holder is known to be dead.

    Nothing is taken or waited for; a holder on another machine counts as alive.

    Raises:
        OSError: the folder cannot be read.
    """
    newest = newest_number(path) if path.parent.is_dir() else 0
    if newest == 0:
        return True
    try:
        holder = Holder.parse(read_bounded(_file(path, newest), FILE_BYTES))
    except OSError:  # gone just now, for a successor's; or no plain file
        return False
    return holder is not None and (holder.released or holder.is_dead())


def newest_number(path: Path) -> int:
    """The number of the file that counts; 0 where nobody has held the lease yet."""
    return max(_numbers(path), default=0)


def _file(path: Path, number: int) -> Path:
    return path.with_name(f"{path.name}.{number}")


def _numbers(path: Path) -> Iterator[int]:
    for entry in path.parent.iterdir():
        stem, _, number = entry.name.rpartition(".")
        if stem == path.name and _NUMBER.fullmatch(number):
            yield int(number)
