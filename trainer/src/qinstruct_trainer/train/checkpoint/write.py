"""Writes the checkpoints of a run and publishes them when they are complete."""

import time
from pathlib import Path

from torch import distributed

from qinstruct_trainer.contract.events import Checkpoint, emit
from qinstruct_trainer.durable_files import num_bytes, sync_path
from qinstruct_trainer.lease import Lease
from qinstruct_trainer.storage_errors import storage_errors
from qinstruct_trainer.train.checkpoint.identity import Identity
from qinstruct_trainer.train.checkpoint.layout import (
    checkpoint_folder,
    checkpoints_folder,
    partial_folder,
)
from qinstruct_trainer.train.checkpoint.manifest import (
    MANIFEST,
    CheckpointManifest,
    share_of_digests,
)
from qinstruct_trainer.train.checkpoint.retention import prune
from qinstruct_trainer.train.checkpoint.rng import save_rng
from qinstruct_trainer.train.engine import Engine
from qinstruct_trainer.train.ranks import Ranks, gather_to_all


class CheckpointWriter:
    """Saves the state of one run. `save` is a collective call.

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

    def save(self, engine: Engine, step: int) -> None:
        """Write, sync, digest, publish, then prune.

        Raises:
            StorageError: the disk is full or broken; the partial folder is never loaded.
            OutputBusyError: another process took over the output folder.
        """
        started = time.monotonic()
        final = checkpoint_folder(self._folder, step)
        partial = partial_folder(final)
        with storage_errors(f"the checkpoint {final}"):
            if self._ranks.is_main:
                partial.mkdir(parents=True)
            distributed.barrier()
            engine.save(partial)
            save_rng(partial, self._ranks.rank)
            distributed.barrier()
            shares = gather_to_all(share_of_digests(partial, self._ranks, sync=True))
            if self._ranks.is_main:
                files = {name: value for share in shares for name, value in share.items()}
                manifest = CheckpointManifest(step=step, identity=self._identity, files=files)
                self._publish(partial, final, manifest)
                seconds = time.monotonic() - started
                size = num_bytes(final)
                emit(Checkpoint(step=step, path=str(final), num_bytes=size, seconds=seconds))
                prune(self._folder, self._keep)
        distributed.barrier()

    def _publish(self, partial: Path, final: Path, manifest: CheckpointManifest) -> None:
        path = partial / MANIFEST
        path.write_text(manifest.model_dump_json(indent=1), "utf-8")
        sync_path(path)
        for folder in [*(path for path in partial.rglob("*") if path.is_dir()), partial]:
            sync_path(folder)
        if self._lease is not None:
            self._lease.check()
        partial.rename(final)
        sync_path(self._folder)
