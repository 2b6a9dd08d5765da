"""The manifest of a checkpoint: its step, its owner and the digests of its files."""

import stat
from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict

from qinstruct_trainer.durable_files import sha256_of
from qinstruct_trainer.train.checkpoint.identity import Identity
from qinstruct_trainer.train.ranks import Ranks

MANIFEST: Final = "manifest.json"
"""Its file name."""


class CheckpointManifest(BaseModel):
    """What stands in a published checkpoint; written last.

    `step` is the data position too: the order of records is a function of the step and the seed.
    """

    model_config = ConfigDict(frozen=True)

    version: Literal[1] = 1
    step: int
    identity: Identity
    files: dict[str, str]  # path below the folder: sha256


def is_plain(folder: Path) -> bool:
    """Whether a checkpoint is folders and files alone: a link or a pipe leads elsewhere."""
    modes = (path.lstat().st_mode for path in [folder, *folder.rglob("*")])
    return all(stat.S_ISREG(mode) or stat.S_ISDIR(mode) for mode in modes)


def share_of_digests(folder: Path, ranks: Ranks) -> dict[str, str]:
    """Digests of this rank's share of a checkpoint's files: every world_size-th one."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST)
    share = files[ranks.rank :: ranks.world_size]
    return {str(path.relative_to(folder)): sha256_of(path) for path in share}
