"""How many checkpoints stay on the disk, and whether one more fits."""

import shutil
from pathlib import Path

from qinstruct_trainer.contract.errors import StorageError
from qinstruct_trainer.durable_files import num_bytes
from qinstruct_trainer.train.checkpoint.layout import checkpoints_folder, published_folders


def prune(checkpoints: Path, keep: int) -> None:
    """Delete all published checkpoints but the newest `keep`."""
    for folder in published_folders(checkpoints)[:-keep]:
        shutil.rmtree(folder)


def check_space(output: Path) -> None:
    """Make sure that a second checkpoint fits while the first is still there.

    Raises:
        StorageError: it does not; better known after a minute than after the first hour.
    """
    folder = checkpoints_folder(output)
    needed = num_bytes(folder)
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise StorageError(
            f"{folder} has {free:,} bytes left, but the next checkpoint needs "
            f"{needed:,}; enlarge output.size, then run again"
        )
