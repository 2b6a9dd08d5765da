"""Verifies a checkpoint: each file that its manifest names is there and has its digest."""

from pathlib import Path

from pydantic import ValidationError

from qinstruct_trainer.train.checkpoint.manifest import (
    MANIFEST,
    CheckpointManifest,
    share_of_digests,
)
from qinstruct_trainer.train.ranks import Ranks, sum_over_ranks


def verified_manifest(folder: Path, ranks: Ranks) -> CheckpointManifest | None:
    """The manifest, or None where the checkpoint is damaged. A collective call.

    Each rank reads its share of the files; all ranks get the same verdict.
    """
    manifest: CheckpointManifest | None
    found: dict[str, str]
    try:
        manifest = CheckpointManifest.model_validate_json((folder / MANIFEST).read_bytes())
        found = share_of_digests(folder, ranks)
    except (OSError, ValidationError):
        manifest, found = None, {}
    expected = manifest.files if manifest else {}
    intact = manifest is not None and all(expected.get(k) == v for k, v in found.items())
    present, num_intact = sum_over_ranks([len(found), float(intact)], ranks.device)
    complete = num_intact == ranks.world_size and present == len(expected)
    return manifest if complete else None
