"""Background programs that end with the process that started them."""

import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

_EPHEMERAL: Final = Path("/proc/sys/net/ipv4/ip_local_port_range")
_PATIENCE: Final = 90.0  # seconds until a program that is not ready has failed


def free_port() -> int:
    """A TCP port that nobody listens on.

    Below the range from which the kernel takes the ports of outgoing connections: while a server
    is down, a client that tries again could otherwise get the server's own port, and keep it.
    Nor does another process of tests get it before its server has started: it is claimed by a
    name that the kernel frees with this process.
    """
    highest = int(_EPHEMERAL.read_text("ascii").split()[0])
    while True:
        port = random.randrange(10_000, highest)
        with socket.socket() as probe, socket.socket(socket.AF_UNIX) as claim:
            try:
                claim.bind(f"\0qinstruct-test-port-{port}")
                probe.bind(("0.0.0.0", port))
            except OSError:
                continue
            claim.detach()
            return port


def wait_until(condition: Callable[[], bool], what: str, seconds: float = _PATIENCE) -> None:
    """Poll until it holds; `what` names it in the error.

    Asking takes a fifth of the time at most: kubectl's tenths of a second, without a pause, are
    a core that those lack who are waited for.
    """
    deadline = time.monotonic() + seconds
    asked = time.monotonic()
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {seconds:.0f} seconds")
        time.sleep(max(0.05, min(4 * (time.monotonic() - asked), 1)))
        asked = time.monotonic()


def always() -> bool:
    """The readiness of a program that needs none."""
    return True


@dataclass
class _Program:
    command: list[str]
    environment: dict[str, str]
    ready: Callable[[], bool]
    process: subprocess.Popen[bytes] | None = None


@dataclass
class Processes:
    """The programs of one cluster, by name, each with `NAME.log` in the folder.

    They are one process group, led by a guard that waits for its standard input to end. That
    happens when the process that holds this object ends, even by SIGKILL; the guard then kills
    the group. (The kernel's parent-death signal would also fire when a mere thread ends.)
    """

    folder: Path
    _programs: dict[str, _Program] = field(default_factory=dict)
    _guard: subprocess.Popen[bytes] | None = None

    def start(
        self,
        name: str,
        command: Sequence[str | Path],
        *,
        environment: Mapping[str, str] | None = None,
        ready: Callable[[], bool] = always,
        wait: bool = True,
    ) -> None:
        """Start a program for the first time; returns when it is ready, or at once."""
        words = [str(word) for word in command]
        added = dict(environment or {})
        self._programs[name] = _Program(words, os.environ | added, ready)
        self._launch(name)
        if wait:
            self.wait(name)

    def resume(self, name: str) -> None:
        """Start a program that was stopped, with the same command; returns when it is ready."""
        self._launch(name)
        self.wait(name)

    def wait(self, name: str) -> None:
        """Return when the program is ready; an error with the end of its log when it is not."""
        program = self._programs[name]

        def ready() -> bool:
            ended = program.process is None or program.process.poll() is not None
            if ended:
                raise RuntimeError(f"{name} ended: {self.last_words(name)}")
            return program.ready()

        try:
            wait_until(ready, f"{name} is ready")
        except TimeoutError as error:
            raise TimeoutError(f"{error}: {self.last_words(name)}") from None

    def stop(self, name: str, grace: float = 0.0) -> None:
        """End a program: SIGTERM and so many seconds, then SIGKILL; no grace is SIGKILL at once."""
        process = self._programs[name].process
        if process is None:
            return
        if grace:
            process.send_signal(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                process.wait(grace)
        process.kill()
        process.wait()
        self._programs[name].process = None

    def pid(self, name: str) -> int:
        """The process id of a running program."""
        process = self._programs[name].process
        if process is None:
            raise KeyError(f"{name} is not running")
        return process.pid

    def close(self) -> None:
        """Kill whatever still runs, all at once."""
        for program in self._programs.values():
            if program.process is not None:
                program.process.kill()
        for name in self._programs:
            self.stop(name)
        if self._guard is not None:
            self._guard.kill()
            self._guard.communicate()
            self._guard = None

    def log(self, name: str) -> Path:
        """The program's output, over all its starts."""
        return self.folder / f"{name}.log"

    def last_words(self, name: str) -> str:
        """The end of its log."""
        return self.log(name).read_text("utf-8", errors="replace")[-1500:]

    def _launch(self, name: str) -> None:
        program = self._programs[name]
        with self.log(name).open("ab") as log:
            program.process = subprocess.Popen(
                program.command,
                env=program.environment,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                process_group=self._group(),
            )

    def _group(self) -> int:
        if self._guard is None:
            self._guard = subprocess.Popen(
                ["/bin/sh", "-c", "read -r _; kill -KILL 0"],
                stdin=subprocess.PIPE,
                process_group=0,
            )
        return self._guard.pid
