"""Checkpoints that are complete or absent, and verified before they are believed.

Every rank writes its share into `checkpoints/.partial-step-N`; each file is synced and
digested; rank 0 writes the manifest and publishes the folder by one atomic rename. A resume takes the
newest folder whose digests hold and moves the others to `checkpoints/quarantine`.
"""

import errno
import hashlib
import os
import random
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from torch import distributed

from qinstruct_trainer.config import RunConfig
from qinstruct_trainer.errors import ConfigError, StorageError
from qinstruct_trainer.events import Checkpoint, emit
from qinstruct_trainer.lease import Lease
from qinstruct_trainer.train.engine import Engine
from qinstruct_trainer.train.ranks import Ranks, broadcast_text, gather_to_all, sum_over_ranks

_MANIFEST = "manifest.json"
_PARTIAL = ".partial-"
_CHUNK = 1 << 20


class Identity(BaseModel):
    """What must be equal for a checkpoint to be gone on from."""

    model_config = ConfigDict(frozen=True)

    index: str
    model: str
    world_size: int
    global_batch_size: int
    micro_batch_size: int
    epochs: int
    seed: int
    zero_stage: int
    group_by_modality: bool

    @classmethod
    def of(cls, config: RunConfig, *, index: Path, model: Path) -> "Identity":
        """The identity of a run; `index` and `model` are units, named by their content."""
        shared = {name: getattr(config, name) for name in cls.model_fields if name in _CONFIG_KEYS}
        return cls(index=index.name, model=model.name, **shared)


_CONFIG_KEYS = frozenset(RunConfig.model_fields) & frozenset(Identity.model_fields)


class Manifest(BaseModel):
    """What stands in a published checkpoint; written last."""

    model_config = ConfigDict(frozen=True)

    version: Literal[1] = 1
    step: int
    identity: Identity
    files: dict[str, str]  # path below the folder: sha256


class Checkpoints:
    """The checkpoints of one run. All methods but the constructor are collective calls."""

    def __init__(
        self, output: Path, identity: Identity, keep: int, ranks: Ranks, lease: Lease | None
    ):
        self._folder = output / "checkpoints"
        self._identity = identity
        self._keep = keep
        self._ranks = ranks
        self._lease = lease  # rank 0's

    def save(self, engine: Engine, step: int) -> None:
        """Write, sync, digest, publish, then prune.

        Raises:
            StorageError: the disk is full or broken; the partial folder stays out of sight.
            OutputBusyError: another process took over the output folder.
        """
        started = time.monotonic()
        final = self._folder / f"step-{step:08d}"
        partial = self._folder / f"{_PARTIAL}{final.name}"
        with _storage_errors(partial):
            if self._ranks.is_main:
                self._folder.mkdir(parents=True, exist_ok=True)
                for leftover in self._folder.glob(f"{_PARTIAL}*"):
                    shutil.rmtree(leftover)
                partial.mkdir()
            distributed.barrier()
            engine.save(partial)
            torch.save(_rng_state(), partial / _rng_file(self._ranks.rank))
            distributed.barrier()
            files = gather_to_all(_digests(partial, self._ranks, sync=True))
            if self._ranks.is_main:
                manifest = Manifest(step=step, identity=self._identity, files=files)
                self._publish(partial, final, manifest)
                emit(
                    Checkpoint(
                        step=step,
                        path=str(final),
                        num_bytes=sum((final / name).stat().st_size for name in files),
                        seconds=time.monotonic() - started,
                    )
                )
                self._prune()
        distributed.barrier()

    def resume(self, engine: Engine) -> int | None:
        """Load the newest verified checkpoint; its step, or None when there is none.

        Raises:
            ConfigError: the checkpoint belongs to a run with other values.
        """
        while (name := broadcast_text(self._newest() if self._ranks.is_main else None)) is not None:
            folder = self._folder / name
            manifest = self._verified(folder)
            if manifest is not None:
                _check_identity(folder, manifest.identity, self._identity)
                engine.load(folder)
                _restore_rng(torch.load(folder / _rng_file(self._ranks.rank), weights_only=True))
                return manifest.step
            if self._ranks.is_main:
                self._quarantine(folder)
            distributed.barrier()
        return None

    def _publish(self, partial: Path, final: Path, manifest: Manifest) -> None:
        path = partial / _MANIFEST
        path.write_text(manifest.model_dump_json(indent=1), "utf-8")
        for folder in [*{file.parent for file in partial.rglob("*")}, path]:
            _sync(folder)
        if self._lease is not None:
            self._lease.check()
        if final.exists():  # the same step saved again, after a resume from it
            shutil.rmtree(final)
        partial.rename(final)
        _sync(self._folder)

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
        try:
            manifest = Manifest.model_validate_json((folder / _MANIFEST).read_bytes())
            expected = manifest.files
            found = _digests(folder, self._ranks, sync=False)
        except (OSError, ValidationError):
            manifest, expected, found = None, {}, {}
        intact = manifest is not None and all(expected.get(k) == v for k, v in found.items())
        present, whole = sum_over_ranks([len(found), float(intact)], self._ranks.device)
        complete = whole == self._ranks.world_size and present == len(expected)
        return manifest if complete else None

    def _quarantine(self, folder: Path) -> None:
        cell = self._folder / "quarantine"
        cell.mkdir(exist_ok=True)
        target = cell / f"{folder.name}-{time.time_ns()}"
        folder.rename(target)
        sys.stderr.write(
            f"{folder} is damaged and was moved to {target}; going on from the one before it\n"
        )


def _check_identity(folder: Path, found: Identity, wanted: Identity) -> None:
    for name in Identity.model_fields:
        was, now = getattr(found, name), getattr(wanted, name)
        if was != now:
            raise ConfigError(
                f"{folder} was written with {name} {was}, but the run now has {now}; "
                "set it back to go on, or give the run another name to start anew"
            )


def _digests(folder: Path, ranks: Ranks, *, sync: bool) -> dict[str, str]:
    """Digests of this rank's share of a checkpoint's files: every world_size-th one."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != _MANIFEST)
    share = files[ranks.rank :: ranks.world_size]
    return {str(path.relative_to(folder)): _digest(path, sync=sync) for path in share}


def _digest(path: Path, *, sync: bool) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
        if sync:
            os.fsync(file.fileno())
    return digest.hexdigest()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _rng_file(rank: int) -> str:
    return f"rng-{rank:05d}.pt"


def _rng_state() -> dict[str, Any]:
    """The states of all generators of this rank, in types that a safe torch.load takes."""
    version, internal, gauss = random.getstate()
    name, keys, *rest = np.random.get_state()  # noqa: NPY002 - the global one, as others use it
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "python": [version, list(internal), gauss],
        "numpy": [str(name), torch.from_numpy(np.asarray(keys, np.int64)), *rest],
    }


def _restore_rng(state: dict[str, Any]) -> None:
    torch.set_rng_state(state["torch"])
    if torch.cuda.is_available():
        torch.cuda.set_rng_state_all(state["cuda"])
    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))
    name, keys, *rest = state["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), *rest))  # noqa: NPY002


@contextmanager
def _storage_errors(path: Path) -> Iterator[None]:
    """Turn a full or broken disk into a sentence.

    torch's serializer reports a short write as RuntimeError, without the errno.
    """
    try:
        yield
    except OSError as error:
        way_out = (
            "free space or enlarge output.size, then run again"
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
            else "check the volume, then run again"
        )
        raise StorageError(
            f"the checkpoint {path} cannot be written: {error.strerror}; {way_out}"
        ) from error
    except RuntimeError as error:
        if "PytorchStreamWriter" not in str(error) and "unexpected pos" not in str(error):
            raise
        raise StorageError(
            f"the checkpoint {path} cannot be written to its end; "
            "free space or enlarge output.size, then run again"
        ) from error
