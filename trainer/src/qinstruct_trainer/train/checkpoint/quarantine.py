"""Sets a damaged checkpoint aside, so that it can be examined: one at most, since it is huge."""

from pathlib import Path

from qinstruct_trainer.durable_files import delete_tree
from qinstruct_trainer.train.checkpoint.layout import quarantined_folder, quarantined_folders


def set_aside(checkpoints: Path, damaged: Path) -> Path:
    """Move a published checkpoint into quarantine, in the place of the one there; where it is."""
    target = quarantined_folder(checkpoints, damaged)
    for earlier in quarantined_folders(checkpoints):
        delete_tree(earlier)
    if target.parent.is_symlink():  # nobody moves a checkpoint to where a link leads
        target.parent.unlink()
    target.parent.mkdir(exist_ok=True)
    return damaged.rename(target)
