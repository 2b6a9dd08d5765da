"""record.json: what is needed to make this model again, and to see why another one differs."""

import platform
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict

from qinstruct_trainer.contents import installed_versions
from qinstruct_trainer.contract import output_files
from qinstruct_trainer.contract.config import Prepared, RunConfig
from qinstruct_trainer.durable_files import sha256_of, write_durably
from qinstruct_trainer.train.result.export import export_folder


class Record(BaseModel):
    """The content of record.json."""

    model_config = ConfigDict(frozen=True)

    config: RunConfig
    prepared: Prepared
    index_sha256: str  # of the index's meta.json
    packages: dict[str, str]
    python: str
    platform: str
    device: str
    weights: dict[str, str]  # file name: sha256


def write_record(config: RunConfig, prepared: Prepared, device: torch.device) -> None:
    """Write the record of an exported model, unless an earlier attempt has."""
    path = config.output / output_files.RECORD
    if path.exists():
        return
    weights = sorted(export_folder(config.output).glob("*.safetensors"))
    record = Record(
        config=config,
        prepared=prepared,
        index_sha256=sha256_of(prepared.index / "meta.json"),
        packages=installed_versions(),
        python=platform.python_version(),
        platform=platform.platform(),
        device=_device_name(device),
        weights={path.name: sha256_of(path) for path in weights},
    )
    write_durably(path, record.model_dump_json(indent=2) + "\n")


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        properties: Any = torch.cuda.get_device_properties(device)
        return str(properties.name)
    return f"cpu {platform.machine()}"
