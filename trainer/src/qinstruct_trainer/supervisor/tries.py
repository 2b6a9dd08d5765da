"""Run one try after another, each in a fork of this process, until one ends for good.

This process has one thread and keeps the signals that it acts on blocked from begin to end: it
takes them one at a time (sigwait), so that none is lost, whenever it comes. Process 1 of a
container gets them so too, to which a signal without a handler means nothing.
"""

import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NoReturn

from qinstruct_trainer.contract.config import RunConfig
from qinstruct_trainer.contract.errors import UNEXPLAINED
from qinstruct_trainer.contract.events import (
    Failed,
    Restarting,
    clear_termination_message,
    emit,
    read_termination_message,
    say,
)
from qinstruct_trainer.contract.restarts import RESTARTS_ENV, Restarts, after_failure
from qinstruct_trainer.parent_death import adopt_orphans, signal_on_parent_death
from qinstruct_trainer.supervisor.decide import is_retried, wait_seconds
from qinstruct_trainer.supervisor.killed import killed
from qinstruct_trainer.supervisor.oom_kills import has_grown, oom_kills
from qinstruct_trainer.supervisor.reached import reached

_STOPS: Final = (signal.SIGTERM, signal.SIGINT)
_HANGUPS: Final = (signal.SIGHUP, signal.SIGQUIT)  # which nohup has a process ignore
_PASSED_ON: Final = (signal.SIGUSR1, signal.SIGUSR2)  # what the launcher does with them is no end
_POLL_SECONDS: Final = 0.2
_LAST_SECONDS: Final = 60.0  # that a killed process may hang in a driver or a file system

Run = Callable[[], NoReturn]


def supervise(run: Run, config: RunConfig) -> int:
    """Run the ranks to their end, in up to `config.in_place_retries` tries more; the exit code.

    Args:
        run: The launcher, which ends its process with the exit code of the rank that failed
            first. It is called with signals blocked, and unblocks them when it can take them.
        config: What the ranks are started with.
    """
    adopt_orphans()
    return _Tries(run, config).end()


def children() -> list[int]:
    """Process ids of this process's children (proc(5); Linux)."""
    files = Path("/proc/self/task").glob("*/children")
    return [int(pid) for file in files for pid in file.read_text("ascii").split()]


def unblock_signals() -> None:
    """Take again the signals that a supervisor has blocked; for a try with its handlers."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD, *_STOPS, *_HANGUPS, *_PASSED_ON})


@dataclass
class _Tries:
    run: Run
    config: RunConfig
    stop: int | None = field(default=None, init=False)  # the signal that asked for it

    def end(self) -> int:
        """Try until the end; the exit code."""
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # ignored, no exit code could be read
        hangups = [each for each in _HANGUPS if signal.getsignal(each) != signal.SIG_IGN]
        self._signals = {signal.SIGCHLD, *_STOPS, *hangups, *_PASSED_ON}
        signal.pthread_sigmask(signal.SIG_BLOCK, self._signals)
        restarts: Restarts | None = None
        while True:
            kills = oom_kills()
            ended = self._wait_for(self._start(restarts))
            code = ended if ended >= 0 else self._say_why(-ended, has_grown(kills, oom_kills()))
            used = restarts.count if restarts else 0
            if self.stop or not is_retried(code, used, self.config.in_place_retries):
                return code
            if not self._kill_the_rest():
                say("a process of the ranks does not end, so that they are not started again")
                return code
            restarts = self._announce(code, restarts)
            self._rest(wait_seconds(restarts.count))
            if self.stop:  # nothing was lost by it: all that was saved is there
                return 128 + self.stop

    def _start(self, restarts: Restarts | None) -> int:
        """Fork a try; its process id."""
        parent = os.getpid()
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        pid = os.fork()
        if pid == 0:
            self._become_try(parent, restarts)
        return pid

    def _become_try(self, parent: int, restarts: Restarts | None) -> NoReturn:
        signal_on_parent_death(signal.SIGKILL)
        if os.getppid() != parent:  # it died before the request was made
            os._exit(128 + signal.SIGKILL)
        os.environ.pop(RESTARTS_ENV, None)
        if restarts:
            os.environ[RESTARTS_ENV] = restarts.model_dump_json()
        self.run()

    def _wait_for(self, pid: int) -> int:
        """How the try ended, as in `subprocess`; signals are passed on to it."""
        while True:
            ended = _reap()
            if pid in ended:
                return ended[pid]
            self._take(signal.sigwait(self._signals), pid)

    def _take(self, number: int, pid: int | None = None) -> None:
        if number == signal.SIGCHLD:
            return
        if number not in _PASSED_ON:
            self.stop = self.stop or number
        if pid is not None:
            os.kill(pid, number)  # not reaped yet: it is that process

    def _say_why(self, number: int, out_of_memory: bool) -> int:
        """The launcher itself was killed, so that nobody has said why; the exit code."""
        if self.stop:
            return 128 + number
        event = killed("the launcher of the ranks", number, out_of_memory=out_of_memory)
        say(event.message)
        emit(event)
        return event.exit_code

    def _kill_the_rest(self) -> bool:
        """End what a try has left, whatever group it is in; whether nothing is left."""
        deadline = time.monotonic() + _LAST_SECONDS
        while left := children():
            for pid in left:  # not reaped yet: it is that process
                os.kill(pid, signal.SIGKILL)
            if not _reap():
                time.sleep(_POLL_SECONDS)
            if time.monotonic() > deadline:
                return False
        return True

    def _announce(self, code: int, before: Restarts | None) -> Restarts:
        """Say that it goes on, and why, before anything reads the failure as the end."""
        so_far, last = reached(self.config.output), read_termination_message()
        failed = last if isinstance(last, Failed) else None
        now = time.time()
        restarts = after_failure(
            before,
            failed_at=failed.time if failed and 0 <= failed.time <= now else now,
            step=so_far.step.step if so_far.step else None,
            lost_seconds=so_far.step.lost_seconds if so_far.step else None,
        )
        retries = self.config.in_place_retries
        emit(
            Restarting(
                reason=failed.reason if failed else UNEXPLAINED,
                message=failed.message.partition("; ")[0]
                if failed
                else f"the ranks ended with exit code {code}, and none said why",
                exit_code=code,
                retry=restarts.count,
                retries=retries,
                step=so_far.step.step if so_far.step else None,
                checkpoint_seconds=max(0.0, now - so_far.saved_at) if so_far.saved_at else None,
            )
        )
        clear_termination_message()
        say(
            f"the ranks are started again here in {wait_seconds(restarts.count):.0f} s, retry "
            f"{restarts.count} of {retries}; they go on from the last checkpoint"
        )
        return restarts

    def _rest(self, seconds: float) -> None:
        """Do nothing for so long, or until a stop is asked for."""
        deadline = time.monotonic() + seconds
        while not self.stop and (left := deadline - time.monotonic()) > 0:
            if info := signal.sigtimedwait(self._signals, left):
                self._take(info.si_signo)


def _reap() -> dict[int, int]:
    """The children that have ended since, own ones and orphans, and how, as in `subprocess`."""
    ended: dict[int, int] = {}
    with suppress(ChildProcessError):  # none is left
        while (found := os.waitpid(-1, os.WNOHANG))[0]:
            ended[found[0]] = os.waitstatus_to_exitcode(found[1])
    return ended
