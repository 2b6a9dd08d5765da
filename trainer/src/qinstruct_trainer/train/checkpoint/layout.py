"""Where the checkpoints of a run are: the names of published and of partial folders."""

from pathlib import Path

from qinstruct_trainer.contract import output_files

_PARTIAL = ".partial-"


def checkpoints_folder(output: Path) -> Path:
    """Holds the checkpoints of the run whose output folder is `output`."""
    return output / output_files.CHECKPOINTS


def checkpoint_folder(checkpoints: Path, step: int) -> Path:
    """The published checkpoint after a step."""
    return checkpoints / f"step-{step:08d}"


def partial_folder(published: Path) -> Path:
    """Where a checkpoint is written before it is published."""
    return published.with_name(f"{_PARTIAL}{published.name}")


def published_folders(checkpoints: Path) -> list[Path]:
    """The published checkpoints, oldest first."""
    return sorted(checkpoints.glob("step-*"))


def partial_folders(checkpoints: Path) -> list[Path]:
    """What attempts that were killed have left."""
    return sorted(checkpoints.glob(f"{_PARTIAL}*"))


def quarantined_folder(checkpoints: Path, folder: Path) -> Path:
    """Where a damaged or incomplete checkpoint is moved to."""
    return checkpoints / output_files.QUARANTINE / folder.name.removeprefix(_PARTIAL)
