"""Ranks that are forks of the process which starts them, and has imported once what all need.

They are made before torch's agent opens a socket or starts a thread, and before anything asks CUDA
whether there is a GPU: a fork of such a process is as good as a new one. Then they wait until
the agent says which rank each is.
"""

import logging
import os
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final, NoReturn

from qinstruct_trainer.parent_death import signal_on_parent_death

_FORK: Final = get_context("fork")
_PROGRAM: Final = (sys.executable, "-u", "-m", "qinstruct_trainer")
"""How torchrun starts a rank of ours."""

Run = Callable[[Sequence[str]], NoReturn]


class WaitingFork:
    """A fork of this process that waits for its arguments; to torch's agent, a rank's `Popen`."""

    def __init__(self, run: Run):
        """Fork; `run` is what the fork calls with its arguments, in the end."""
        self._connection, other = _FORK.Pipe()
        self._process = _FORK.Process(target=_wait_and_run, args=(other, os.getpid(), run))
        self._process.start()
        other.close()
        assert self._process.pid is not None  # for the type checker: it was started
        self.pid: Final = self._process.pid
        with suppress(EOFError):  # it was killed; whoever polls it sees that
            self._connection.recv()

    def begin(self, arguments: Sequence[str], environment: Mapping[str, str]) -> None:
        """Let it run, with these arguments and this environment."""
        with suppress(BrokenPipeError):  # it was killed
            self._connection.send((tuple(arguments), dict(environment)))

    def poll(self) -> int | None:
        """Its exit code, or minus the signal that ended it; None while it runs."""
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        """Its exit code, once it has one.

        Raises:
            subprocess.TimeoutExpired: it runs for longer.
        """
        self._process.join(timeout)
        code = self._process.exitcode
        if code is None:
            raise subprocess.TimeoutExpired("rank", timeout or 0.0)
        return code

    def kill(self) -> None:
        """End it with SIGKILL."""
        self._process.kill()


@contextmanager
def forks_as_ranks(waiting: deque[WaitingFork]) -> Iterator[None]:
    """Have torch's agent take these forks where it would start our program; at the end none waits.

    What else it starts, or starts again, is a process of its own, as always.
    """
    from torch.distributed.elastic.multiprocessing.subprocess_handler import SubprocessHandler

    api: Any = import_module("torch.distributed.elastic.multiprocessing.api")

    class Handler(SubprocessHandler):
        def _popen(self, args: tuple[Any, ...], env: dict[str, str]) -> Any:
            of_ours = args[: len(_PROGRAM)] == _PROGRAM
            if not waiting or not of_ours or self._stdout or self._stderr:
                return super()._popen(args, env)
            fork = waiting.popleft()
            fork.begin(args[len(_PROGRAM) :], env)
            return fork

    original = api.get_subprocess_handler
    api.get_subprocess_handler = Handler
    try:
        yield
    finally:
        api.get_subprocess_handler = original
        for fork in waiting:
            fork.kill()


def has_opened(device: str) -> bool:
    """Whether this process holds a file open whose path begins so."""
    with suppress(OSError):  # no proc(5)
        return any(_target(path).startswith(device) for path in Path("/proc/self/fd").iterdir())
    return False


def _target(descriptor: Path) -> str:
    with suppress(OSError):  # closed meanwhile, as the one that lists the folder
        return str(descriptor.readlink())
    return ""


def _wait_and_run(connection: Connection, parent: int, run: Run) -> None:
    signal_on_parent_death(signal.SIGKILL)
    if os.getppid() != parent:  # it died before the request was made
        return
    os.setsid()  # as torchrun starts its processes: it signals their groups
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    logging.disable(logging.NOTSET)
    connection.send(None)
    arguments, environment = connection.recv()
    connection.close()
    os.environ.clear()
    os.environ.update(environment)
    with suppress(OSError):  # what `ps` and `top` call it
        Path("/proc/self/comm").write_text(f"rank {environment['RANK']}")
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    run(arguments)
