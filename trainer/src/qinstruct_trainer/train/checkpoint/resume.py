"""Resumes a run from its newest checkpoint that is verified."""

from pathlib import Path

from torch import distributed

from qinstruct_trainer.train.checkpoint.identity import Identity
from qinstruct_trainer.train.checkpoint.layout import (
    checkpoints_folder,
    partial_folders,
    published_folders,
)
from qinstruct_trainer.train.checkpoint.quarantine import Quarantine
from qinstruct_trainer.train.checkpoint.rng import load_rng
from qinstruct_trainer.train.checkpoint.verify import verified_manifest
from qinstruct_trainer.train.engine import Engine
from qinstruct_trainer.train.ranks import Ranks, broadcast_text


def resume(engine: Engine, output: Path, identity: Identity, ranks: Ranks) -> int | None:
    """Load the newest verified checkpoint; its step, or None when there is none.

    A collective call.

    Raises:
        ConfigError: the checkpoint belongs to a run with other values.
    """
    checkpoints = checkpoints_folder(output)
    quarantine = Quarantine(checkpoints)
    if ranks.is_main:
        for partial in partial_folders(checkpoints):
            quarantine.add(partial, "is incomplete")
    while (name := broadcast_text(_newest(checkpoints))) is not None:
        folder = checkpoints / name
        manifest = verified_manifest(folder, ranks)
        if manifest is not None:
            identity.check(manifest.identity, folder)
            engine.load(folder)
            load_rng(folder, ranks.rank)
            return manifest.step
        if ranks.is_main:
            quarantine.add(folder, "is damaged")
        distributed.barrier()
    return None


def _newest(checkpoints: Path) -> str | None:
    published = published_folders(checkpoints)
    return published[-1].name if published else None
