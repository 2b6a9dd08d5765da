"""The watch over the ranks of a try: which one makes no progress, and the end of such a try.

A thread of the launcher looks at the ranks' heartbeats every second. What a rank hangs in may be
anything: a loader, a file system, a driver, a collective call whose other side hangs.
"""

import os
import signal
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from math import inf
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from qinstruct_trainer.contract.errors import EXIT_STALLED, STALLED
from qinstruct_trainer.contract.events import Failed, emit, say
from qinstruct_trainer.heartbeats import Page, Row

_LOOK_SECONDS: Final = 1.0
_DUMP_SECONDS: Final = 0.5  # one after the other: all write to one log
_HELD: Final = frozenset("TtD")  # stopped, traced, in a driver or a file system (proc(5))


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
    """

    def __init__(self, page: Page):
        self._page = page
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._look, name="watch", daemon=True)
        self.exit_code: int | None = None

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

    def dump_stacks(self) -> None:
        """Have each rank, also a stopped one, write the stacks of its threads to the log."""
        for rank, row in _left(self._page.rows()).items():
            say(f"rank {rank} (process {row.pid}):")
            _signal(row.pid, signal.SIGUSR1)
            _signal(row.pid, signal.SIGCONT)
            time.sleep(_DUMP_SECONDS)

    def save(self) -> None:
        """Ask for a checkpoint at the end of this step."""
        for row in _left(self._page.rows()).values():
            _signal(row.pid, signal.SIGUSR2)

    def _look(self) -> None:
        silences, last = Silences(), time.monotonic()
        while not self._done.wait(_LOOK_SECONDS):
            rows, now = _left(self._page.rows()), time.monotonic()
            silent, last = silences.after(now - last, rows), now
            suspects = hanging(rows, silent)
            if suspects and all(_state(row.pid) for row in rows.values()):
                self._end(suspects, rows, silent)
                return

    def _end(
        self, suspects: list[int], rows: Mapping[int, Row], silences: Mapping[int, float]
    ) -> None:
        """Say why, and end the ranks; torch's agent, in the main thread, notices."""
        self.exit_code = EXIT_STALLED  # whatever else befalls them from here on
        held = [rank for rank, row in rows.items() if _state(row.pid) in _HELD]
        suspects = held or suspects
        last = min(suspects, key=lambda rank: silences[rank])
        self.dump_stacks()
        message = sentence(suspects, rows[last], silences[last], datetime.now(UTC))
        say(message)
        step = rows[last].step
        event = Failed(reason=STALLED, message=message, exit_code=EXIT_STALLED, step=step or None)
        emit(event)
        for row in rows.values():
            _signal(row.pid, signal.SIGKILL)


def _left(rows: Mapping[int, Row]) -> dict[int, Row]:
    """Without those that have come to their end."""
    return {rank: row for rank, row in rows.items() if row.limit < inf}


def _state(pid: int) -> str:
    """Of a process, a letter (proc(5)); "" where it has ended, as torch's agent sees too."""
    with suppress(OSError):
        state = (
            Path(f"/proc/{pid}/stat").read_text("ascii", "replace").rpartition(")")[2].split()[0]
        )
        return "" if state in "ZX" else state
    return ""


def _signal(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)
