"""Where the checkpoints of a run are: the names of published, partial and quarantined folders."""

import re
from pathlib import Path
from typing import Final

from qinstruct_trainer.contract import output_files

_PARTIAL = ".partial-"
_PUBLISHED: Final = re.compile(r"step-(\d{8,})")


def checkpoints_folder(output: Path) -> Path:
    """Holds the checkpoints of the run whose output folder is `output`."""
    return output / output_files.CHECKPOINTS


def checkpoint_folder(checkpoints: Path, step: int) -> Path:
    """The published checkpoint after a step."""
    return checkpoints / f"step-{step:08d}"


def partial_folder(published: Path) -> Path:
    """What a checkpoint is called while it is being written, and while it is being deleted."""
    return published.with_name(f"{_PARTIAL}{published.name}")


def published_folders(checkpoints: Path) -> list[Path]:
    """The published checkpoints, oldest first; what somebody has put beside them is none."""
    return _in_order(checkpoints, "")


def partial_folders(checkpoints: Path) -> list[Path]:
    """What attempts that were killed have left, oldest first."""
    return _in_order(checkpoints, _PARTIAL)


def quarantined_folders(checkpoints: Path) -> list[Path]:
    """The damaged checkpoints that were set aside, oldest first; none where a link leads."""
    quarantine = checkpoints / output_files.QUARANTINE
    return [] if quarantine.is_symlink() else _in_order(quarantine, "")


def quarantined_folder(checkpoints: Path, folder: Path) -> Path:
    """Where a damaged checkpoint is moved to."""
    return checkpoints / output_files.QUARANTINE / folder.name


def step_of(folder: Path) -> int:
    """The step in the name of a published, partial or quarantined folder."""
    return int(folder.name.rpartition("-")[2])


def _in_order(parent: Path, prefix: str) -> list[Path]:
    found = (path for path in parent.glob(f"{prefix}step-*") if path.is_dir())
    named = (path for path in found if _PUBLISHED.fullmatch(path.name.removeprefix(prefix)))
    return sorted(named, key=step_of)
