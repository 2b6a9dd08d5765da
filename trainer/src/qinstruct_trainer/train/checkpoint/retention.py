"""Which checkpoints stay on the disk, and whether those to come will fit.

At any moment, whenever a process is killed, there are at most `keep` published ones, one more that
is being written, waits for the pruning or is deleted, and one in quarantine; `qinstruct plan`
sizes the output claim by that.
"""

import shutil
from pathlib import Path

from qinstruct_trainer.contract.errors import StorageError
from qinstruct_trainer.durable_files import delete_tree, num_bytes
from qinstruct_trainer.train.checkpoint.layout import (
    checkpoints_folder,
    partial_folder,
    partial_folders,
    published_folders,
    quarantined_folders,
    step_of,
)


def prune(checkpoints: Path, keep: int) -> None:
    """Delete all published checkpoints but the newest `keep`.

    That of step 0 goes with the first one after it: a run that has trained never goes back there.
    """
    published = published_folders(checkpoints)
    trained = [folder for folder in published if step_of(folder)]
    kept = (trained or published)[-keep:]
    for folder in published:
        if folder not in kept:
            discard(folder)


def discard(published: Path) -> None:
    """Delete a published checkpoint; when killed halfway, what is left is a partial one."""
    doomed = published.rename(partial_folder(published))
    delete_tree(doomed)


def delete_partial(checkpoints: Path) -> None:
    """Delete what attempts that were killed have left.

    So does all of an older version's quarantine, but for the newest.
    """
    for folder in [*partial_folders(checkpoints), *quarantined_folders(checkpoints)[:-1]]:
        delete_tree(folder)


def check_space(output: Path, keep: int) -> None:
    """Make sure that all checkpoints fit that will be there beside those of now.

    Raises:
        StorageError: they do not; better known after a minute than after the first hour.
    """
    folder = checkpoints_folder(output)
    published = published_folders(folder)
    to_come = keep + 1 - len(published)
    needed = to_come * num_bytes(published[-1])
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise StorageError(
            f"{folder} has {free:,} bytes left, but {to_come} more checkpoints "
            f"(checkpoint.keep {keep}, and one being written) need {needed:,}; enlarge output.size "
            "or lower checkpoint.keep, then run again"
        )
