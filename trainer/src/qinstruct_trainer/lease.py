"""A lease on a shared folder: one live process at a time, taken over when its holder dies.

Works between processes, pods and nodes on one shared file system. It needs nothing but
exclusive creation (O_EXCL), which NFS has; flock is not used, because network file systems
often do not pass it on.

The lease `name` is a row of files `name.1`, `name.2`, ... of which the highest number rules.
A holder rewrites its file every few seconds (the heartbeat) and marks it released at the end.
A process that finds the highest file released, or silent for `stale_seconds`, creates the next
number exclusively, so that of two that try only one succeeds. Numbers are never reused: a
holder that was frozen and wakes up sees a higher number and knows that it lost (`check`).
"""

import logging
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from qinstruct_trainer.contract.errors import OutputBusyError, StorageError

_BEATS_PER_STALE = 6  # heartbeats that must fail to appear before a lease counts as stale
_MAX_OWNER = 100  # characters
_FILE_BYTES = 2048  # fixed size, so that a rewrite never leaves the end of an older content
_log = logging.getLogger(__name__)


class _Holder(BaseModel):
    """What stands in a lease file. `machine` and `born` are empty where /proc is missing."""

    model_config = ConfigDict(frozen=True)

    owner: str
    token: str
    machine: str
    pid: int = Field(gt=0)
    born: str
    beat: int = 0
    released: bool = False

    def to_bytes(self) -> bytes:
        return self.model_dump_json().encode().ljust(_FILE_BYTES)

    @classmethod
    def parse(cls, content: bytes) -> Self | None:
        """The holder, or None while the file is empty or half written."""
        try:
            return cls.model_validate_json(content)
        except ValidationError:
            return None

    def is_here(self) -> bool:
        """Whether the process belongs to this machine and pid namespace, alive or not."""
        return self.machine != "" and self.machine == _machine()

    def is_dead(self) -> bool:
        """Whether the process surely ended: it was here, and its pid is gone or another's."""
        if not self.is_here():
            return False
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except PermissionError:  # another user's, whose /proc entry may be hidden
            return False
        return _born(self.pid) != self.born


class Lease:
    """A held lease; a context manager that releases it. Create with `acquire`."""

    def __init__(self, path: Path, number: int, descriptor: int, holder: _Holder, beat: float):
        self._path = path
        self._number = number
        self._descriptor = descriptor
        self._holder = holder
        self._stop = threading.Event()
        self._thread = threading.Thread(
            target=self._beat_until_stopped, args=(beat,), name=f"lease {path.name}", daemon=True
        )
        self._thread.start()

    @classmethod
    def acquire(
        cls,
        path: Path,
        owner: str,
        *,
        stale_seconds: float = 60.0,
        wait: bool = True,
        on_wait: Callable[[str], None] | None = None,
        poll_seconds: float = 0.5,
    ) -> Self:
        """Take the lease, waiting for another holder if `wait`.

        A holder on this machine whose process is gone is followed at once; any other one when
        its file did not change for `stale_seconds` of this process's own monotonic clock, so
        that clocks of different machines need not agree.

        Args:
            path: Where the lease lives; the files `<path>.<number>` are created.
            owner: Name shown to those who wait.
            stale_seconds: Silence after which the holder counts as dead.
            wait: Wait for the holder instead of raising.
            on_wait: Called with the holder's name when the waiting begins and when it changes.
            poll_seconds: Time between two looks.

        Raises:
            OutputBusyError: not `wait`, and another live process holds it.
            StorageError: the folder cannot be written.
        """
        pid = os.getpid()
        holder = _Holder(
            owner=owner[:_MAX_OWNER],
            token=secrets.token_hex(16),
            machine=_machine(),
            pid=pid,
            born=_born(pid),
        )
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            watch = _Watch(path, stale_seconds)
            told = ""
            while True:
                number = watch.look()
                descriptor = _claim(path, number, holder) if number is not None else None
                if number is not None and descriptor is not None:
                    return cls(path, number, descriptor, holder, stale_seconds / _BEATS_PER_STALE)
                if watch.alive and not wait:
                    raise OutputBusyError(
                        f"{path} is held by {watch.owner}, which is still running; "
                        "wait until it ends or stop it, then run again"
                    )
                if on_wait is not None and watch.owner != told:
                    on_wait(told := watch.owner)
                time.sleep(poll_seconds)
        except OSError as error:
            raise StorageError(f"the lease {path} cannot be taken: {error.strerror}") from error

    def check(self) -> None:
        """Prove that the lease is still held; call it before publishing anything.

        Raises:
            OutputBusyError: another process took it over, or its file is gone.
        """
        if max(_numbers(self._path), default=0) != self._number:
            raise OutputBusyError(
                f"{self._path} was taken over, because {self._holder.owner} gave no sign of life "
                "for too long; the process that took it goes on, this one stops"
            )

    def release(self) -> None:
        """Stop the heartbeat and mark the lease as free. Does nothing when called again."""
        if self._stop.is_set():
            return
        self._stop.set()
        self._thread.join()
        with suppress(OSError):  # a lost file system: others follow after stale_seconds
            self._write(released=True)
        os.close(self._descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.release()

    def _beat_until_stopped(self, seconds: float) -> None:
        while not self._stop.wait(seconds):
            try:
                self._write(released=False)
            except OSError as error:
                _log.warning("heartbeat of %s failed: %s", self._path, error.strerror)

    def _write(self, *, released: bool) -> None:
        """Rewrite the own file. By descriptor: a successor's file can never be hit."""
        beat = self._holder.beat + 1
        self._holder = self._holder.model_copy(update={"beat": beat, "released": released})
        os.pwrite(self._descriptor, self._holder.to_bytes(), 0)


class _Watch:
    """One process's view of the highest lease file, over several looks.

    Attributes:
        owner: Name of the holder seen last.
        alive: The holder surely lives: its process was found, or its heartbeat seen.
    """

    def __init__(self, path: Path, stale_seconds: float):
        self._path = path
        self._stale_seconds = stale_seconds
        self._seen: tuple[int, bytes] | None = None
        self._since = 0.0
        self.owner = ""
        self.alive = False

    def look(self) -> int | None:
        """The number to claim, or None while the holder may live."""
        newest = max(_numbers(self._path), default=0)
        if newest == 0:
            return 1
        try:
            content = _file(self._path, newest).read_bytes()
        except FileNotFoundError:  # a successor swept it a moment ago: look again
            return None
        holder = _Holder.parse(content)
        if holder is not None and (holder.released or holder.is_dead()):
            return newest + 1
        self.owner = holder.owner if holder else "another process"
        if self._seen != (newest, content):
            beat_seen = self._seen is not None and self._seen[0] == newest
            self.alive = beat_seen or (holder is not None and holder.is_here())
            self._seen = (newest, content)
            self._since = time.monotonic()
        return newest + 1 if time.monotonic() - self._since > self._stale_seconds else None


def _claim(path: Path, number: int, holder: _Holder) -> int | None:
    """Create the file of this number; its descriptor, or None when another process was first."""
    mine = _file(path, number)
    try:
        descriptor = os.open(mine, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    except FileExistsError:
        return None
    os.pwrite(descriptor, holder.to_bytes(), 0)
    if max(_numbers(path), default=0) != number:  # a look so old that the row had moved on
        os.close(descriptor)
        mine.unlink(missing_ok=True)
        return None
    for older in _numbers(path):
        if older < number:
            _file(path, older).unlink(missing_ok=True)
    return descriptor


def _file(path: Path, number: int) -> Path:
    return path.with_name(f"{path.name}.{number}")


def _numbers(path: Path) -> Iterator[int]:
    for entry in path.parent.iterdir():
        stem, _, number = entry.name.rpartition(".")
        if stem == path.name and number.isdecimal():
            yield int(number)


def _machine() -> str:
    """This boot of this machine and this pid namespace, or "" where /proc does not tell."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
        namespace = os.readlink("/proc/self/ns/pid")  # noqa: PTH115 - not a path: "pid:[...]"
    except OSError:
        return ""
    return f"{boot} {namespace}"


def _born(pid: int) -> str:
    """Start time of a live process in clock ticks since boot; "" when gone or a zombie.

    proc(5): after the name in brackets, field 3 is the state and field 22 the start time;
    the time tells a process from a later one with the same pid.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text("ascii", "replace").rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in "ZX" else fields[19]
