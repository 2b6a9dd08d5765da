"""Sets damaged and incomplete checkpoints aside, so that they can be examined."""

import shutil
import sys
from pathlib import Path

from qinstruct_trainer.train.checkpoint.layout import quarantined_folder


class Quarantine:
    """`checkpoints/quarantine`, as one start of a run fills it. For rank 0."""

    def __init__(self, checkpoints: Path):
        self._checkpoints = checkpoints
        self._is_ours = False

    def add(self, folder: Path, fault: str) -> None:
        """Move a checkpoint here and say so; those of an earlier start are deleted: huge."""
        target = quarantined_folder(self._checkpoints, folder)
        if not self._is_ours:
            shutil.rmtree(target.parent, ignore_errors=True)
            target.parent.mkdir()
        self._is_ours = True
        folder.rename(target)
        sys.stderr.write(
            f"the checkpoint {folder} {fault} and was moved to {target}; "
            "the run goes on from the newest intact one\n"
        )
