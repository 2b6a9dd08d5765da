"""Runs one process of a local run: reads its events, keeps its log, passes signals on."""

import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from qinstruct_operator.cli.terminal import sanitize_event
from qinstruct_trainer.contract.errors import StorageError
from qinstruct_trainer.contract.events import Event, parse_line
from qinstruct_trainer.contract.launch import ends_with_parent

_POLL_SECONDS = 0.2  # the longest that a signal or an exit goes unnoticed
_READ_BYTES = 1 << 16


@dataclass
class StopRequests:
    """How often the user has asked to stop. The signal handler only counts; `run_child` acts."""

    count: int = 0

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Count Ctrl-C, SIGTERM and a closed terminal instead of ending on them."""

        def count(_signal: int, _frame: FrameType | None) -> None:
            self.count += 1

        numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        before = {number: signal.signal(number, count) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def run_child(
    command: Sequence[str],
    *,
    environment: Mapping[str, str],
    writer: str,
    log: Path,
    requests: StopRequests,
    on_event: Callable[[Event], None],
    on_stop: Callable[[], None],
) -> int:
    """Run a command to its end; everything it prints is appended to `log`.

    Of its lines those are events that carry `writer`, which its environment names. The first stop
    request is passed on as SIGTERM and announced by `on_stop`; the next one
    kills the whole process group.

    Returns:
        Its exit code; 128 + n where signal n ended it, as shells report it.

    Raises:
        StorageError: the log cannot be opened.
    """
    try:
        stream = log.open("ab", buffering=0)
    except OSError as error:
        raise StorageError(f"{log} cannot be written: {error.strerror}") from error
    with (
        stream,
        subprocess.Popen(
            ends_with_parent(command, sys.executable, os.getpid()),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stream,
            env=dict(environment),
            process_group=0,  # Ctrl-C on the terminal reaches us only, and we pass it on
        ) as child,
    ):
        try:
            passed_on = 0
            for line in _lines(child):
                if requests.count > passed_on:
                    _pass_on(child, first=passed_on == 0, on_stop=on_stop)
                    passed_on = requests.count
                if line is None:
                    continue
                with suppress(OSError):  # a full disk: the child has the same error, and reports it
                    stream.write(line)
                event = parse_line(line.decode("utf-8", errors="replace"), writer)
                if event is not None:
                    on_event(sanitize_event(event))
        finally:
            if child.poll() is None:  # an exception of ours has left it running
                _kill_group(child)
    return child.returncode if child.returncode >= 0 else 128 - child.returncode


def _pass_on(child: subprocess.Popen[bytes], *, first: bool, on_stop: Callable[[], None]) -> None:
    if child.poll() is not None:
        return
    if first:
        on_stop()
        child.terminate()
    else:
        _kill_group(child)


def _lines(child: subprocess.Popen[bytes]) -> Iterator[bytes | None]:
    """Each line that the child prints until it ends; None after each poll without output."""
    assert child.stdout is not None  # for the type checker: stdout=PIPE
    pending = b""
    with selectors.DefaultSelector() as selector:
        selector.register(child.stdout, selectors.EVENT_READ)
        while True:
            if not selector.select(_POLL_SECONDS):
                if child.poll() is not None:  # but a process that it started has its pipe
                    _kill_group(child)
                    break
                yield None
                continue
            chunk = os.read(child.stdout.fileno(), _READ_BYTES)
            if not chunk:
                break
            *lines, pending = (pending + chunk).split(b"\n")
            yield from (line + b"\n" for line in lines)
    if pending:
        yield pending + b"\n"
    while child.poll() is None:
        time.sleep(_POLL_SECONDS)
        yield None


def _kill_group(child: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
