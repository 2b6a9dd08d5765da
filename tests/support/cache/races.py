"""Prune and prep at once: one of them stops before each of its operations until the other is done.

`python races.py FOLDER prune|prep` prints a `Race` for each operation of the one that is stopped.
The unit there has been used by a run that has ended. Prep is another run's.
"""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from qinstruct_trainer.cache.choice import Conditions
from qinstruct_trainer.cache.listing import Ended
from qinstruct_trainer.cache.prune import prune
from qinstruct_trainer.contract.errors import DataError
from qinstruct_trainer.contract.events import Event, PrepWaiting
from qinstruct_trainer.prep.unit_cache import UnitCache, verify
from qinstruct_trainer.prep.uses import uses_of
from support.cache.units import LABELS, make, of_size

_OPERATIONS = frozenset({*("open", "os.listdir", "os.scandir"), *("os.mkdir", "os.rename")})
_OPERATIONS |= {"os.remove", "os.rmdir"}
_WHEN = 4e9  # years from now: whatever its age, the unit is unused


class Race(BaseModel):
    """What came of one race.

    Attributes:
        at: The operation before which the first one stopped.
        stopped: Whether it has as many.
        whole: Whether what prep got is there when both have ended, and whole.
        used: Whether prep's use of it is noted.
    """

    at: int
    stopped: bool
    whole: bool
    used: bool


def main(folder: Path, first: str) -> None:
    at, stopped = 0, True
    while stopped:
        at += 1
        cache = folder / f"{first}-{at}"
        (made,) = make(cache, LABELS, run="old")
        actions = [_prune, _prep] if first == "prune" else [_prep, _prune]
        stopped = _race(cache, at, *actions)
        names = [found.use.run for found in uses_of(cache, LABELS.folder_name)]
        sys.stdout.write(
            Race(
                at=at, stopped=stopped, whole=_is_whole(made), used="new" in names
            ).model_dump_json()
            + "\n"
        )


Action = Callable[[Path, Callable[[], None]], None]


def _prune(cache: Path, _: Callable[[], None]) -> None:
    prune(cache, Conditions(unused=1), Ended(frozenset({"old"})), _WHEN, yes=True)


def _prep(cache: Path, on_wait: Callable[[], None]) -> None:
    def note(event: Event) -> None:
        if isinstance(event, PrepWaiting):
            on_wait()

    folder = UnitCache(cache, "new", note).get(LABELS, of_size(1000))
    assert (folder / "file").stat().st_size == 1000  # it was there when prep got it


def _race(cache: Path, at: int, first: Action, second: Action) -> bool:
    """Whether the first one has stopped; it and the second one have ended well."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            others: list[int] = []
            _stop_before(at, cache, lambda: others.append(_go_on_when(cache, second)))
            first(cache, lambda: None)
            code = 0 if all(os.waitpid(other, 0)[1] == 0 for other in others) else 2
            os.write(writer, b"stopped" if others else b"not")
        finally:
            os._exit(code)
    _, status = os.waitpid(pid, 0)
    os.close(writer)
    if status:
        raise SystemExit(f"{cache}: one of them failed")
    if stopped := os.read(reader, 100) == b"stopped":
        return stopped
    second(cache, lambda: None)  # it had no such operation: one after the other
    return False


def _go_on_when(cache: Path, second: Action) -> int:
    """Start the second one and wait until it has ended, or waits for the first; its process."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            second(cache, lambda: os.close(writer))
            code = 0
        finally:
            os._exit(code)
    os.close(writer)
    os.read(reader, 1)  # its end comes when it ends, or waits and closes it
    os.close(reader)
    return pid


def _stop_before(at: int, cache: Path, stop: Callable[[], None]) -> None:
    done = 0
    us = os.getpid()

    def count(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal done
        if event in _OPERATIONS and os.getpid() == us and _is_in(cache, arguments):
            done += 1
            if done == at:
                stop()

    sys.addaudithook(count)


def _is_in(cache: Path, arguments: tuple[Any, ...]) -> bool:
    """`shutil.rmtree` names what it deletes below an open folder."""
    return str(cache) in str(arguments[0]) or isinstance(arguments[-1], int)


def _is_whole(folder: Path) -> bool:
    try:
        verify(folder)
    except DataError:
        return False
    return True


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
