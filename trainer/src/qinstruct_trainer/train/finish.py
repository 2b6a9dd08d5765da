"""After the export: evaluation, loss curve and record. Each is done once, also over restarts."""

import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict

from qinstruct_trainer.contract import output_files
from qinstruct_trainer.contract.config import Prepared, RunConfig
from qinstruct_trainer.contract.events import Complete, Evaluation, emit
from qinstruct_trainer.durable_files import sha256_of, write_durably
from qinstruct_trainer.evaluate import evaluate_model
from qinstruct_trainer.train.export import export_folder
from qinstruct_trainer.train.files import storage_errors
from qinstruct_trainer.train.metrics import draw_loss_curve

_PACKAGES = (
    "qinstruct",
    "torch",
    "transformers",
    "deepspeed",
    "accelerate",
    "tokenizers",
    "safetensors",
    "numpy",
    "pillow",
)


class Record(BaseModel):
    """record.json: what is needed to make this model again, and to see why another one differs."""

    model_config = ConfigDict(frozen=True)

    config: RunConfig
    prepared: Prepared
    index_sha256: str  # of the index's meta.json
    packages: dict[str, str]
    python: str
    platform: str
    device: str
    weights: dict[str, str]  # file name: sha256


def finish(config: RunConfig, prepared: Prepared, device: torch.device) -> None:
    """Do what is still missing, then say that the run is complete. For rank 0.

    Raises:
        StorageError: the output folder cannot be written.
    """
    output = config.output
    with storage_errors(f"the result in {output}"):
        if prepared.heldout is not None:
            _evaluate(output, prepared.model, prepared.heldout)
        draw_loss_curve(output / output_files.METRICS, output / output_files.LOSS_CURVE)
        record = output / output_files.RECORD
        if not record.exists():
            found = _record(config, prepared, device)
            write_durably(record, found.model_dump_json(indent=2) + "\n")
    emit(Complete(model=str(export_folder(output))))


def _evaluate(output: Path, base: Path, heldout: Path) -> None:
    """Emit both results; those of an earlier attempt are read, not computed again."""
    path = output / output_files.EVALUATION
    if path.exists():
        found = Evaluation.model_validate_json(path.read_bytes())
        emit(found.untrained)
        emit(found.trained)
        return
    images = image_root(heldout)
    untrained = evaluate_model(base, heldout, images, label="untrained")
    emit(untrained)
    trained = evaluate_model(export_folder(output), heldout, images, label="trained")
    emit(trained)
    text = Evaluation(untrained=untrained, trained=trained).model_dump_json(indent=2)
    write_durably(path, text + "\n")


def image_root(heldout: Path) -> Path:
    """Folder of the held-out images: the builtin unit keeps it beside the questions."""
    return heldout.parent / "images"


def _record(config: RunConfig, prepared: Prepared, device: torch.device) -> Record:
    weights = sorted(export_folder(config.output).glob("*.safetensors"))
    return Record(
        config=config,
        prepared=prepared,
        index_sha256=sha256_of(prepared.index / "meta.json"),
        packages={name: version(name) for name in _PACKAGES},
        python=platform.python_version(),
        platform=platform.platform(),
        device=_device_name(device),
        weights={path.name: sha256_of(path) for path in weights},
    )


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        properties: Any = torch.cuda.get_device_properties(device)
        return str(properties.name)
    return f"cpu {platform.machine()}"
