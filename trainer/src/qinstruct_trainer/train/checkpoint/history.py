"""What an output folder says about how far its run has trained, beside its intact checkpoints."""

from pathlib import Path

from qinstruct_trainer.contract import output_files
from qinstruct_trainer.train.checkpoint.layout import (
    checkpoints_folder,
    partial_folders,
    published_folders,
    quarantined_folders,
    step_of,
)
from qinstruct_trainer.train.checkpoint.manifest import MANIFEST
from qinstruct_trainer.train.metrics.metrics_file import read_steps

# What a run writes after its last step only; a partial model it tries out before the first one too.
_RESULTS = (output_files.IDENTITY, output_files.EVALUATION, output_files.RECORD)


def saved_after_step_0(checkpoints: Path) -> list[Path]:
    """Checkpoints of trained steps that are or were published, intact or not."""
    # What has no manifest was never published: an older version kept that in quarantine too.
    set_aside = [path for path in quarantined_folders(checkpoints) if (path / MANIFEST).exists()]
    return [path for path in [*published_folders(checkpoints), *set_aside] if step_of(path)]


def traces_of_training(output: Path) -> list[Path]:
    """Files and folders that only a run has which has taken steps: empty for a new run."""
    checkpoints, metrics = checkpoints_folder(output), output / output_files.METRICS
    begun = [path for path in partial_folders(checkpoints) if step_of(path)]
    has_checkpoints = bool(saved_after_step_0(checkpoints) or begun)
    return [
        *([checkpoints] if has_checkpoints else []),
        *([metrics] if read_steps(metrics) else []),
        *(path for name in _RESULTS if (path := output / name).exists()),
    ]
