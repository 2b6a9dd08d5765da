"""How far a try came, by what it has left in the output folder."""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from qinstruct_trainer.contract import output_files
from qinstruct_trainer.contract.errors import StorageError
from qinstruct_trainer.contract.events import Step
from qinstruct_trainer.train.checkpoint.layout import checkpoints_folder, published_folders, step_of
from qinstruct_trainer.train.metrics.metrics_file import read_steps


@dataclass(frozen=True)
class Reached:
    """How far a try came; None where it is not known.

    Attributes:
        step: The last one that was taken.
        saved_at: Unix time of the step whose state the newest checkpoint has. It was published
            later, by the time that it took to write.
    """

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
            taken = [step.time for step in steps if step.step == step_of(folders[-1])]
            saved_at = taken[-1] if taken else folders[-1].stat().st_mtime
    return Reached(steps[-1] if steps else None, saved_at)
