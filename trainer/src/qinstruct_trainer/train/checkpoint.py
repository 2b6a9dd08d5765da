"""Checkpoints that are complete or absent, and verified before they are believed.

Every rank writes its share into `checkpoints/.partial-step-N`; each file is synced and
digested; rank 0 writes the manifest and publishes the folder by one atomic rename. A resume
takes the newest folder whose digests hold and moves the others to `checkpoints/quarantine`.
"""

import hashlib
import shutil
import sys
import time
from pathlib import Path
from typing import Literal, Self

import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from torch import distributed

from qinstruct_trainer.contract import output_files
from qinstruct_trainer.contract.config import Prepared, RunConfig
from qinstruct_trainer.contract.errors import ConfigError, StorageError
from qinstruct_trainer.contract.events import Checkpoint, emit
from qinstruct_trainer.data import Index
from qinstruct_trainer.durable_files import sha256_of, sync_path
from qinstruct_trainer.lease import Lease
from qinstruct_trainer.train.engine import Engine
from qinstruct_trainer.train.files import num_bytes, storage_errors
from qinstruct_trainer.train.ranks import Ranks, broadcast_text, gather_to_all, sum_over_ranks
from qinstruct_trainer.train.rng import restore_rng, rng_state

_MANIFEST = "manifest.json"
_PARTIAL = ".partial-"


class Identity(BaseModel):
    """What must be equal for a run to go on from a checkpoint, or to own a finished model.

    Besides `model` and `data` it holds the fixed values of `RunConfig`, by name.
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    model: str  # folder name of the starting checkpoint: a unit's holds a digest of its content
    data: str  # sha256 over the lengths of the index's records

    @classmethod
    def of(cls, config: RunConfig, prepared: Prepared, index: Index) -> Self:
        """The identity of a run."""
        data = hashlib.sha256(index.lengths.tobytes() + index.modality_lengths.tobytes())
        return cls(model=prepared.model.name, data=data.hexdigest(), **config.fixed_values())

    def check(self, found: "Identity", where: Path) -> None:
        """Refuse what another run has left.

        A value that an older version did not record yet is not compared.

        Raises:
            ConfigError: naming the first value that differs.
        """
        recorded = found.model_dump()
        for name, now in self.model_dump().items():
            was = recorded.get(name, now)
            if was != now:
                raise ConfigError(
                    f"{where} was written with {name} {was}, but the run now has {now}; "
                    "set it back to go on, or give the run another name to start anew"
                )


class Manifest(BaseModel):
    """What stands in a published checkpoint; written last.

    `step` is the data position too: the order of records is a function of the step and the seed.
    """

    model_config = ConfigDict(frozen=True)

    version: Literal[1] = 1
    step: int
    identity: Identity
    files: dict[str, str]  # path below the folder: sha256


class Checkpoints:
    """The checkpoints of one run. `save` and `resume` are collective calls.

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
        self._folder = output / output_files.CHECKPOINTS
        self._identity = identity
        self._keep = keep
        self._ranks = ranks
        self._lease = lease
        self._set_aside = False

    def save(self, engine: Engine, step: int) -> None:
        """Write, sync, digest, publish, then prune.

        Raises:
            StorageError: the disk is full or broken; the partial folder stays out of sight.
            OutputBusyError: another process took over the output folder.
        """
        started = time.monotonic()
        final = self._folder / f"step-{step:08d}"
        partial = self._folder / f"{_PARTIAL}{final.name}"
        with storage_errors(f"the checkpoint {final}"):
            if self._ranks.is_main:
                partial.mkdir(parents=True)
            distributed.barrier()
            engine.save(partial)
            torch.save(rng_state(), partial / _rng_file(self._ranks.rank))
            distributed.barrier()
            shares = gather_to_all(self._digests(partial, sync=True))
            if self._ranks.is_main:
                files = {name: value for share in shares for name, value in share.items()}
                self._publish(
                    partial, final, Manifest(step=step, identity=self._identity, files=files)
                )
                seconds = time.monotonic() - started
                size = num_bytes(final)
                emit(Checkpoint(step=step, path=str(final), num_bytes=size, seconds=seconds))
                self._prune()
        distributed.barrier()

    def check_space(self) -> None:
        """Make sure that a second checkpoint fits while the first is still there.

        Raises:
            StorageError: it does not; better known after a minute than after the first hour.
        """
        needed = num_bytes(self._folder)
        free = shutil.disk_usage(self._folder).free
        if free < needed:
            raise StorageError(
                f"{self._folder} has {free:,} bytes left, but the next checkpoint needs "
                f"{needed:,}; enlarge output.size, then run again"
            )

    def resume(self, engine: Engine) -> int | None:
        """Load the newest verified checkpoint; its step, or None when there is none.

        Raises:
            ConfigError: the checkpoint belongs to a run with other values.
        """
        if self._ranks.is_main:
            for partial in self._folder.glob(f"{_PARTIAL}*"):
                self._quarantine(partial, "is incomplete")
        while (name := broadcast_text(self._newest())) is not None:
            folder = self._folder / name
            manifest = self._verified(folder)
            if manifest is not None:
                self._identity.check(manifest.identity, folder)
                engine.load(folder)
                restore_rng(torch.load(folder / _rng_file(self._ranks.rank), weights_only=True))
                return manifest.step
            if self._ranks.is_main:
                self._quarantine(folder, "is damaged")
            distributed.barrier()
        return None

    def _publish(self, partial: Path, final: Path, manifest: Manifest) -> None:
        path = partial / _MANIFEST
        path.write_text(manifest.model_dump_json(indent=1), "utf-8")
        sync_path(path)
        for folder in [*(path for path in partial.rglob("*") if path.is_dir()), partial]:
            sync_path(folder)
        if self._lease is not None:
            self._lease.check()
        partial.rename(final)
        sync_path(self._folder)

    def _prune(self) -> None:
        for folder in self._published()[: -self._keep]:
            shutil.rmtree(folder)

    def _published(self) -> list[Path]:
        return sorted(self._folder.glob("step-*"))

    def _newest(self) -> str | None:
        published = self._published()
        return published[-1].name if published else None

    def _verified(self, folder: Path) -> Manifest | None:
        """The manifest if every file has its digest; each rank reads its share of the files."""
        manifest: Manifest | None
        found: dict[str, str]
        try:
            manifest = Manifest.model_validate_json((folder / _MANIFEST).read_bytes())
            found = self._digests(folder)
        except (OSError, ValidationError):
            manifest, found = None, {}
        expected = manifest.files if manifest else {}
        intact = manifest is not None and all(expected.get(k) == v for k, v in found.items())
        present, whole = sum_over_ranks([len(found), float(intact)], self._ranks.device)
        complete = whole == self._ranks.world_size and present == len(expected)
        return manifest if complete else None

    def _digests(self, folder: Path, *, sync: bool = False) -> dict[str, str]:
        """Digests of this rank's share of a checkpoint's files: every world_size-th one."""
        files = sorted(
            path for path in folder.rglob("*") if path.is_file() and path.name != _MANIFEST
        )
        share = files[self._ranks.rank :: self._ranks.world_size]
        return {str(path.relative_to(folder)): sha256_of(path, sync=sync) for path in share}

    def _quarantine(self, folder: Path, fault: str) -> None:
        """Set a folder aside for a look at it; those of an earlier start go, for they are huge."""
        cell = self._folder / output_files.QUARANTINE
        if not self._set_aside:
            shutil.rmtree(cell, ignore_errors=True)
            cell.mkdir()
        self._set_aside = True
        target = cell / folder.name.removeprefix(_PARTIAL)
        folder.rename(target)
        sys.stderr.write(
            f"the checkpoint {folder} {fault} and was moved to {target}; "
            "the run goes on from the newest intact one\n"
        )


def _rng_file(rank: int) -> str:
    return f"rng-{rank:05d}.pt"
