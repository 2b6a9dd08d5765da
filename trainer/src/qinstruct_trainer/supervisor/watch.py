"""The watch over the ranks of a try: which one makes no progress, and the end of such a try.

A thread of the launcher looks at the ranks' heartbeats every second. What a rank hangs in may be
anything: a loader, a file system, a driver, a collective call whose other side hangs.
"""

import os
import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from math import inf
from types import FrameType, TracebackType
from typing import Final, Self

from qinstruct_trainer.contract.errors import EXIT_STALLED, STALLED
from qinstruct_trainer.contract.events import Failed, emit, say
from qinstruct_trainer.heartbeats import Page, Row
from qinstruct_trainer.process_stat import live_stat

_LOOK_SECONDS: Final = 1.0
_DUMP_SECONDS: Final = 0.5  # one after the other: all write to one log
_SAY_SECONDS: Final = 60.0  # the log, or what reads it, may be what hangs
_DEAD_SECONDS: Final = 120.0  # for torch's agent to notice; not if a thread is left in a driver
_STOPPED: Final = frozenset("Tt")  # or traced (proc(5))
_HELD: Final = _STOPPED | {"D"}  # in a driver or a file system


@dataclass
class Silences:
    """How long each rank has said nothing, in seconds that the watch itself has seen pass.

    So a machine that slept, or a container that was frozen with all that is in it, hangs not.
    """

    _beats: dict[int, int] = field(default_factory=dict)
    _seconds: dict[int, float] = field(default_factory=dict)

    def after(self, seconds: float, rows: Mapping[int, Row]) -> dict[int, float]:
        """Those of all ranks, so many seconds after the last look."""
        for rank, row in rows.items():
            is_silent = self._beats.get(rank) == row.beats
            passed = min(seconds, 2 * _LOOK_SECONDS)
            self._seconds[rank] = self._seconds[rank] + passed if is_silent else 0.0
            self._beats[rank] = row.beats
        return dict(self._seconds)


def hanging(rows: Mapping[int, Row], silences: Mapping[int, float]) -> list[int]:
    """The ranks that make no progress, if there are any: those furthest behind.

    The others wait for them, however long. Of several at the same place the last one to come
    there decides.
    """
    fewest = min((row.beats for row in rows.values()), default=0)
    behind = [rank for rank, row in rows.items() if row.beats == fewest]
    return behind if all(silences[rank] > rows[rank].limit for rank in behind) else []


def sentence(suspects: Sequence[int], row: Row, silence: float, now: datetime) -> str:
    """Who hangs, since when and where.

    Args:
        suspects: ranks, at least one.
        row: of one of them.
        silence: of it, in seconds.
        now: the present time.
    """
    who = f"rank {suspects[0]} has"
    if suspects[1:]:
        who = f"ranks {', '.join(map(str, suspects[:-1]))} and {suspects[-1]} have"
    since = datetime.fromtimestamp(now.timestamp() - silence, UTC)
    where = f"at step {row.step}" if row.step else "before its first step"
    return (
        f"{who} made no progress since {since:%Y-%m-%dT%H:%M:%SZ} ({silence:.0f} s), {row.phase} "
        f"{where}; the log has the stacks of all ranks; start the same command again: it goes on "
        "from the last checkpoint"
    )


class Watch:
    """Looks at the ranks until the end of the block, and ends them where one hangs.

    Attributes:
        exit_code: Of a try that it has ended; None before.
        wants_stacks, wants_save: That the ranks are to write the stacks of their threads to the
            log; that they are to save at the end of this step.
    """

    def __init__(self, page: Page):
        self._page = page
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._look, name="watch", daemon=True)
        self.exit_code: int | None = None
        self.wants_stacks = False
        self.wants_save = False

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._done.set()
        self._thread.join()  # it may be saying why

    def handle(self, number: int, _frame: FrameType | None) -> None:
        """The handler of SIGUSR1 and SIGUSR2: it leaves a mark, and the thread does the rest."""
        if number == signal.SIGUSR1:
            self.wants_stacks = True
        else:
            self.wants_save = True

    def _look(self) -> None:
        silences, last, dead_for = Silences(), time.monotonic(), 0.0
        while not self._done.wait(_LOOK_SECONDS):
            rows, now = _left(self._page.rows()), time.monotonic()
            self._do_what_is_asked(rows)
            silent = silences.after(now - last, rows)
            suspects = hanging(rows, silent)
            dead_for = dead_for + now - last if suspects and _dead(rows) else 0.0
            last = now
            if suspects and (dead_for == 0.0 or dead_for > _DEAD_SECONDS):
                self._end(suspects, rows, silent)
                if self.exit_code is not None:
                    return

    def _do_what_is_asked(self, rows: Mapping[int, Row]) -> None:
        if self.wants_stacks:
            self.wants_stacks = False
            _within(_SAY_SECONDS, partial(_dump_stacks, rows))
        if self.wants_save:
            self.wants_save = False
            for row in rows.values():
                _signal(row.pid, signal.SIGUSR2)

    def _end(
        self, suspects: list[int], rows: Mapping[int, Row], silences: Mapping[int, float]
    ) -> None:
        """End the ranks, and say why; torch's agent, in the main thread, notices.

        Not if a second look, after their stacks, shows that they go on, or that one has ended; but
        what was stopped goes on only because it was asked for its stacks.
        """
        dead = _dead(rows)
        states = {rank: _state(row.pid) for rank, row in rows.items()}
        held = [rank for rank, state in states.items() if state in _HELD]
        _within(_SAY_SECONDS, partial(_dump_stacks, rows, goes_on=True))
        again = _left(self._page.rows())
        goes_on = any(again.get(rank) != rows[rank] for rank in suspects)
        if (goes_on and _STOPPED.isdisjoint(states.values())) or _dead(rows) != dead:
            return
        self.exit_code = EXIT_STALLED
        for row in rows.values():
            _signal(row.pid, signal.SIGKILL)
        suspects = held or suspects
        last = min(suspects, key=lambda rank: silences[rank])
        message = sentence(suspects, rows[last], silences[last], datetime.now(UTC))
        _within(_SAY_SECONDS, partial(_tell, message, rows[last].step or None))


def _tell(message: str, step: int | None) -> None:
    say(message)
    emit(Failed(reason=STALLED, message=message, exit_code=EXIT_STALLED, step=step))


def _dump_stacks(rows: Mapping[int, Row], *, goes_on: bool = False) -> None:
    """Have each rank write the stacks of its threads to the log; a stopped one if it goes on."""
    for rank, row in rows.items():
        say(f"rank {rank} (process {row.pid}):")
        _signal(row.pid, signal.SIGUSR1)
        if goes_on:
            _signal(row.pid, signal.SIGCONT)
        time.sleep(_DUMP_SECONDS)


def _within(seconds: float, do: Callable[[], None]) -> None:
    """Do what may block or fail, without waiting for it any longer."""
    thread = threading.Thread(target=do, daemon=True)
    thread.start()
    thread.join(seconds)


def _dead(rows: Mapping[int, Row]) -> set[int]:
    return {rank for rank, row in rows.items() if not _state(row.pid)}


def _left(rows: Mapping[int, Row]) -> dict[int, Row]:
    """Without those that have come to their end."""
    return {rank: row for rank, row in rows.items() if row.limit < inf}


def _state(pid: int) -> str:
    """Of a process, a letter (proc(5)); "" where it has ended, which torch's agent sees as well.

    Unless one of its threads is left, in a driver: then its parent is told nothing.
    """
    return next(iter(live_stat(pid)), "")


def _signal(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)
