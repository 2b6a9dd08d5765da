"""evaluation.json: the accuracy of the starting and of the trained model, computed once a run."""

from pathlib import Path

from pydantic import ValidationError

from qinstruct_trainer.contract import output_files
from qinstruct_trainer.contract.events import Evaluation, emit
from qinstruct_trainer.durable_files import read_bounded, write_durably
from qinstruct_trainer.evaluate import evaluate_model, heldout_images
from qinstruct_trainer.train.result.export import export_folder

_MAX_BYTES = 1 << 20


def evaluate_result(output: Path, base: Path, heldout: Path) -> None:
    """Emit the accuracy of both models; what an earlier attempt has written is only read.

    Args:
        output: The run's folder, with the exported model.
        base: The starting checkpoint.
        heldout: The file of held-out questions.

    Raises:
        DataError: a checkpoint, a question or an image is not what it must be.
        StorageError: the file of questions cannot be read.
    """
    path = output / output_files.EVALUATION
    found = _earlier(path)
    if found is not None:
        emit(found.untrained)
        emit(found.trained)
        return
    images = heldout_images(heldout)
    untrained = evaluate_model(base, heldout, images, label="untrained")
    emit(untrained)
    trained = evaluate_model(export_folder(output), heldout, images, label="trained")
    emit(trained)
    text = Evaluation(untrained=untrained, trained=trained).model_dump_json(indent=2)
    write_durably(path, text + "\n")


def _earlier(path: Path) -> Evaluation | None:
    """What an earlier attempt has written; None where it is not there, or is something else."""
    try:
        return Evaluation.model_validate_json(read_bounded(path, _MAX_BYTES))
    except (OSError, ValidationError):
        return None
