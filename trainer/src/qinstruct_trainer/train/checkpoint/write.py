"""Writes the checkpoints of a run beside its steps, and publishes them when they are complete."""

import time
from collections.abc import Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any, TypeVar

from torch import distributed

from qinstruct_trainer.contract.errors import RunError
from qinstruct_trainer.contract.events import Checkpoint, emit
from qinstruct_trainer.durable_files import create_new, num_bytes, sha256_of, sync_path
from qinstruct_trainer.lease import Lease
from qinstruct_trainer.storage_errors import storage_errors
from qinstruct_trainer.train.checkpoint.host_memory import HostMemory
from qinstruct_trainer.train.checkpoint.identity import Identity
from qinstruct_trainer.train.checkpoint.layout import (
    checkpoint_folder,
    checkpoints_folder,
    partial_folder,
)
from qinstruct_trainer.train.checkpoint.manifest import MANIFEST, CheckpointManifest
from qinstruct_trainer.train.checkpoint.retention import prune
from qinstruct_trainer.train.checkpoint.rng import save_rng
from qinstruct_trainer.train.engine import Engine
from qinstruct_trainer.train.ranks import Ranks, gather_to_all
from qinstruct_trainer.train.state_files import write_state
from qinstruct_trainer.train.stop_signals import catch_stop_signals

_PATIENCE = 10.0  # seconds: a disk that hangs must not hide why a run ends

T = TypeVar("T")


@dataclass(frozen=True)
class _Written:
    """What one rank has written: digests by path below the folder."""

    digests: Mapping[str, str]
    seconds: float


@dataclass(frozen=True)
class _Pending:
    """A checkpoint that is being written.

    Attributes:
        final: The folder it becomes.
        began: When, of the monotonic clock.
        blocked: Seconds that the run has waited for it so far.
        writing: This rank's share.
    """

    step: int
    final: Path
    began: float
    blocked: float
    writing: Future[_Written]


class CheckpointWriter:
    """Saves the state of one run. Its methods are collective calls, but for `has_written`.

    `save` copies the state to this machine's memory, from where a thread of each rank writes it
    while the run goes on. When `has_written` holds on all ranks, `publish` gives the checkpoint its
    name. There is at most one that is being written.

    Args:
        output: The run's folder.
        identity: Of the run as it is configured now.
        keep: Newest checkpoints that stay.
        ranks: This process's place.
        lease: On the output folder, held by rank 0; None elsewhere.
    """

    def __init__(
        self, output: Path, identity: Identity, keep: int, ranks: Ranks, lease: Lease | None
    ):
        self._folder = checkpoints_folder(output)
        self._identity = identity
        self._keep = keep
        self._ranks = ranks
        self._lease = lease
        self._memory = HostMemory(ranks)
        # One thread: the old ones are deleted before the next one is written.
        self._background = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._cancelled = Event()
        self._pending: _Pending | None = None
        self._pruning: Future[None] | None = None

    @property
    def has_written(self) -> bool:
        """Whether this rank has written its share of a checkpoint that is not published yet.

        Or has failed to.
        """
        return self._pending is not None and self._pending.writing.done()

    def save(self, engine: Engine, step: int, *, waits: bool = True) -> None:
        """Save the state as it is now, once the checkpoint before it is published.

        Args:
            engine: Has the state.
            step: The last one that was taken.
            waits: Until it is published; else only where there is no memory for a copy. One that
                waits takes no more memory than is held already.

        Raises:
            StorageError: the disk is full or broken; the partial folder is never loaded.
            OutputBusyError: another process took over the output folder.
        """
        self.publish()
        began = time.monotonic()
        self._finish_pruning()
        final = checkpoint_folder(self._folder, step)
        partial = partial_folder(final)
        states: dict[Path, Any] = {}
        with storage_errors(f"the checkpoint {final}"):
            if self._ranks.is_main:
                partial.mkdir(parents=True)
            distributed.barrier()
            engine.save(partial, states.__setitem__)
            save_rng(partial, self._ranks.rank, states.__setitem__)
            added = _files(partial) if self._ranks.is_main else []  # by DeepSpeed itself
            distributed.barrier()  # before a rank writes what is not among them
        # A wait takes no memory for it; but from a GPU torch would copy all that is not here yet.
        copied = self._memory.copy(states, may_grow=not waits)
        items = states.items() if copied is None else copied
        writing = self._background.submit(self._write, final, items, added)
        blocked = time.monotonic() - began
        self._pending = _Pending(step, final, began, blocked, writing)
        if waits or copied is None:
            self.finish()

    def publish(self) -> None:
        """Publish what is being written, once all ranks have written it; then prune meanwhile.

        Raises:
            StorageError, OutputBusyError: as of `save`; the same one on all ranks.
        """
        if self._pending is None:
            return
        pending, self._pending = self._pending, None
        called = time.monotonic()
        wait([pending.writing])
        error = pending.writing.exception()
        shares = _agreed(error if error is not None else pending.writing.result())
        failure: Exception | None = None
        if self._ranks.is_main:
            try:
                self._publish(pending, shares, called)
            except RunError as refused:
                failure = refused
        _agreed(failure)

    def finish(self) -> None:
        """Wait until nothing is left to write, publish or delete.

        Raises:
            StorageError, OutputBusyError: as of `save`; the same one on all ranks.
        """
        self.publish()
        self._finish_pruning()

    def close(self) -> None:
        """Leave off, at an end that nothing can wait for. Not a collective call.

        If something is left, the run has failed: torchrun's SIGTERM to the ranks of a failed run
        must not end this one before its lease is released and its reason is said.
        """
        begun: list[Future[Any]] = [self._pending.writing] if self._pending is not None else []
        begun += [self._pruning] if self._pruning is not None else []
        with catch_stop_signals() if begun else nullcontext():
            self._cancelled.set()
            self._background.shutdown(wait=False)
            wait(begun, _PATIENCE)
            self._memory.release()

    def _finish_pruning(self) -> None:
        pruning, self._pruning = self._pruning, None
        _agreed(None if pruning is None else pruning.exception())

    def _write(
        self, final: Path, states: Iterable[tuple[Path, Any]], added: Iterable[Path]
    ) -> _Written:
        """This rank's share, in the background."""
        began, partial = time.monotonic(), partial_folder(final)
        with storage_errors(f"the checkpoint {final}"):
            digests = {path: write_state(path, state, self._cancelled) for path, state in states}
            digests |= {path: sha256_of(path, sync=True) for path in added}
        names = {str(path.relative_to(partial)): digest for path, digest in digests.items()}
        return _Written(names, time.monotonic() - began)

    def _publish(self, pending: _Pending, shares: list[_Written], called: float) -> None:
        """Rank 0's part. The main thread's: nothing may come between a check and what it allows."""
        final = pending.final
        partial = partial_folder(final)
        files = {name: value for share in shares for name, value in share.digests.items()}
        manifest = CheckpointManifest(step=pending.step, identity=self._identity, files=files)
        with storage_errors(f"the checkpoint {final}"):
            self._check_lease()
            with create_new(partial / MANIFEST) as file:
                file.write(manifest.model_dump_json(indent=1).encode())
            for path in [partial / MANIFEST, *_folders(partial), partial]:
                sync_path(path)
            self._check_lease()
            partial.rename(final)
            sync_path(self._folder)
            size = num_bytes(final)
        now = time.monotonic()
        emit(
            Checkpoint(
                step=pending.step,
                path=str(final),
                num_bytes=size,
                seconds=now - pending.began,
                blocked_seconds=pending.blocked + now - called,
                write_seconds=max(share.seconds for share in shares),
            )
        )
        self._pruning = self._background.submit(self._prune)

    def _check_lease(self) -> None:
        if self._lease is not None:
            self._lease.check()

    def _prune(self) -> None:
        with storage_errors(f"the folder {self._folder}"):
            prune(self._folder, self._keep)


def _agreed(mine: T | BaseException) -> list[T]:
    """What each rank has; where some have an error, the first one is raised on all of them."""
    found = gather_to_all(mine)
    for rank, error in enumerate(found):
        if isinstance(error, BaseException):
            # Its own has the traceback, which does not travel.
            raise (
                mine
                if isinstance(mine, BaseException) and rank == distributed.get_rank()
                else error
            )
    return [value for value in found if not isinstance(value, BaseException)]


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _folders(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_dir()]
