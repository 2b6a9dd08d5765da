"""How far a try came, by what it has left in the output folder."""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from qinstruct_trainer.contract import output_files
from qinstruct_trainer.contract.errors import StorageError
from qinstruct_trainer.contract.events import Step
from qinstruct_trainer.train.checkpoint.layout import checkpoints_folder, published_folders
from qinstruct_trainer.train.metrics.metrics_file import read_steps


@dataclass(frozen=True)
class Reached:
    """The last step that was taken, and the Unix time of the newest checkpoint, where known."""

    step: Step | None
    saved_at: float | None


def reached(output: Path) -> Reached:
    """How far the run in this folder is; what cannot be read is not known."""
    steps: list[Step] = []
    with suppress(StorageError):
        steps = read_steps(output / output_files.METRICS)
    saved_at = None
    with suppress(OSError):
        if folders := published_folders(checkpoints_folder(output)):
            saved_at = folders[-1].stat().st_mtime
    return Reached(steps[-1] if steps else None, saved_at)
