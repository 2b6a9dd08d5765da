"""A held lease: its heartbeat, the proof that it is still held, and its release."""

import logging
import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from qinstruct_trainer.contract.errors import OutputBusyError, StorageError
from qinstruct_trainer.lease.holder import Holder
from qinstruct_trainer.lease.takeover import Takeover, claim, newest_number

_BEATS_PER_STALE = 6  # heartbeats that must fail to appear before a lease counts as stale
_log = logging.getLogger(__name__)


class Lease:
    """A held lease; a context manager that releases it. Create with `acquire`."""

    def __init__(self, path: Path, number: int, descriptor: int, holder: Holder, beat: float):
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

        A holder on this machine whose process is gone is replaced at once; any other one when
        its file did not change for `stale_seconds` of this process's own monotonic clock, so
        that clocks of different machines need not agree.

        Args:
            path: Common prefix of the lease files, `<path>.<number>`.
            owner: Name shown to those who wait.
            stale_seconds: Silence after which the holder counts as dead.
            wait: Wait for the holder instead of raising.
            on_wait: Called with the holder's name when the waiting begins and when it changes.
            poll_seconds: Time between two reads of the file.

        Raises:
            OutputBusyError: not `wait`, and another live process holds it.
            StorageError: the folder cannot be written.
        """
        holder = Holder.this_process(owner)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            takeover = Takeover(path, stale_seconds)
            named = ""
            while True:
                number = takeover.free_number()
                descriptor = claim(path, number, holder) if number is not None else None
                if number is not None and descriptor is not None:
                    return cls(path, number, descriptor, holder, stale_seconds / _BEATS_PER_STALE)
                if takeover.is_holder_alive and not wait:
                    raise OutputBusyError(
                        f"{path} is held by {takeover.owner}, which is still running; "
                        "wait until it ends or stop it, then run again"
                    )
                if on_wait is not None and takeover.owner != named:
                    on_wait(named := takeover.owner)
                time.sleep(poll_seconds)
        except OSError as error:
            raise StorageError(f"the lease {path} cannot be taken: {error.strerror}") from error

    def check(self) -> None:
        """Prove that the lease is still held; call it before publishing anything.

        Raises:
            OutputBusyError: another process took it over, or its file is gone.
        """
        if newest_number(self._path) != self._number:
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
        with suppress(OSError):  # a lost file system: it becomes stale
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
        """Rewrite our file, by its descriptor, so that a successor's is never overwritten."""
        beat = self._holder.beat + 1
        self._holder = self._holder.model_copy(update={"beat": beat, "released": released})
        os.pwrite(self._descriptor, self._holder.to_bytes(), 0)
