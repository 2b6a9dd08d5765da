import hashlib
import platform
from importlib.metadata import version
from pathlib import Path

import pytest
import torch

from qinstruct_trainer.contract.config import Prepared, RunConfig
from qinstruct_trainer.train.result.record import Record, write_record
from support.syncs import note_syncs
from support.training.run_configs import run_config


def test_a_record_names_what_the_model_was_made_of(tmp_path: Path) -> None:
    config, prepared = _exported_run(tmp_path)
    write_record(config, prepared, torch.device("cpu"))
    record = Record.model_validate_json((config.output / "record.json").read_bytes())
    assert (record.config, record.prepared) == (config, prepared)
    assert record.index_sha256 == hashlib.sha256(b"meta").hexdigest()
    assert record.weights == {
        "a.safetensors": hashlib.sha256(b"a").hexdigest(),
        "b.safetensors": hashlib.sha256(b"b").hexdigest(),
    }
    assert record.packages["torch"] == version("torch")
    assert record.device == f"cpu {platform.machine()}"


def test_a_record_survives_a_power_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config, prepared = _exported_run(tmp_path)
    syncs = note_syncs(monkeypatch, config.output / "record.json")
    write_record(config, prepared, torch.device("cpu"))
    assert len(syncs.before) == 1
    assert syncs.after == {config.output}


def test_the_record_of_an_earlier_attempt_stays(tmp_path: Path) -> None:
    config, prepared = _exported_run(tmp_path)
    (config.output / "record.json").write_text("earlier")
    write_record(config, prepared, torch.device("cpu"))
    assert (config.output / "record.json").read_text() == "earlier"


def _exported_run(folder: Path) -> tuple[RunConfig, Prepared]:
    prepared = Prepared(
        index=folder / "index",
        model=folder / "base",
        gate_report=folder / "report.json",
        num_records=1,
    )
    prepared.index.mkdir()
    (prepared.index / "meta.json").write_bytes(b"meta")
    config = run_config(folder / "prepared.json", folder / "run")
    model = config.output / "model"
    model.mkdir(parents=True)
    for name in ("a", "b"):
        (model / f"{name}.safetensors").write_bytes(name.encode())
    (model / "config.json").write_text("{}")
    return config, prepared
