import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from qinstruct_trainer.contract.config import (
    Changeable,
    Checkpointing,
    Fixed,
    ModelSource,
    PrepConfig,
    RunConfig,
    Source,
)
from qinstruct_trainer.contract.errors import ConfigError, StorageError
from support.training.run_configs import run_config

SOURCE = Source(name="q-instruct-labels", kind="labels", url="https://example.org/labels.json")
PREP = PrepConfig(
    run="one",
    cache=Path("/cache"),
    output=Path("/output"),
    sources=(SOURCE,),
    model=ModelSource(kind="tiny"),
    max_length=2048,
    seed=42,
)
RUN = run_config(
    Path("/output/prepared.json"),
    Path("/output"),
    run="one",
    strategy="after",
    epochs=1,
    learning_rate=2e-5,
    warmup_ratio=0.03,
    group_by_modality=False,
    seed=42,
    checkpoint=Checkpointing(every_minutes=30, keep=2),
)

# Another value of each field, by what it means for a run that has begun.
OTHER_PREP: dict[str, object] = {
    "sources": (SOURCE.model_copy(update={"sha256": "a" * 64}),),
    "model": ModelSource(kind="llava", base="me/llava"),
    "missing_images": "Drop",
    "max_missing": 1,
    "max_length": 1024,
    "seed": 7,
}
SAME_PREP: dict[str, object] = {
    "version": 1,  # there is no other
    "run": "two",
    "cache": Path("/elsewhere"),
    "output": Path("/elsewhere"),
    "max_bytes": {"q-instruct-labels": 1},
    "private_networks": (),
    "keep_archives": True,
    "pixel_store": "Never",
    "cache_bytes": 1,
    "output_bytes": 1,
}
OTHER_RUN: dict[str, object] = {
    "size": "7B",
    "strategy": "mix",
    "world_size": 4,
    "global_batch_size": 16,
    "micro_batch_size": 2,
    "epochs": 2,
    "learning_rate": 1e-3,
    "warmup_ratio": 0.1,
    "weight_decay": 0.1,
    "gradient_clipping": 0.0,
    "group_by_modality": True,
    "zero_stage": 3,
    "precision": "bf16",
    "attention": "eager",
    "packing": "sequence",
    "seed": 7,
}
SAME_RUN: dict[str, object] = {
    "version": 1,
    "run": "two",
    "prepared": Path("/elsewhere/prepared.json"),
    "output": Path("/elsewhere"),
    "activation_checkpointing": True,
    "checkpoint": Checkpointing(every_minutes=1, keep=5),
    "in_place_retries": 5,
    "stop_after_step": 3,
}


@pytest.mark.parametrize(
    ("config", "other", "same"),
    [(PREP, OTHER_PREP, SAME_PREP), (RUN, OTHER_RUN, SAME_RUN)],
    ids=["PrepConfig", "RunConfig"],
)
def test_each_field_is_fixed_or_changeable(
    config: PrepConfig | RunConfig, other: Mapping[str, object], same: Mapping[str, object]
) -> None:
    assert {*other, *same} == set(type(config).model_fields)
    for name, value in other.items():
        changed = config.model_copy(update={name: value})
        assert changed.fixed_values() != config.fixed_values(), name
    for name, value in same.items():
        changed = config.model_copy(update={name: value})
        assert changed.fixed_values() == config.fixed_values(), name


@pytest.mark.parametrize("annotation", [int, Fixed[Changeable[int]]], ids=["no mark", "two marks"])
def test_a_field_without_one_clear_mark_is_refused_at_import(annotation: Any) -> None:
    with pytest.raises(TypeError, match=r"Longer\.dropout must be either Fixed or Changeable"):
        type("Longer", (RunConfig,), {"__annotations__": {"dropout": annotation}})


@pytest.mark.parametrize("config", [PREP, RUN], ids=["PrepConfig", "RunConfig"])
def test_a_written_config_reads_back(config: PrepConfig | RunConfig, tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(config.to_json(), "utf-8")
    assert type(config).read(path) == config
    assert config.to_json() == type(config).read(path).to_json()
    assert config.to_json().startswith('{\n  "')  # a person reads it in the ConfigMap
    assert config.to_json().endswith("\n}\n")


FAULTS: dict[str, tuple[dict[str, object], str]] = {
    "an unknown key": ({"dropout": 0.1}, "dropout: Extra inputs are not permitted"),
    "a wrong type": ({"epochs": "many"}, "epochs: Input should be a valid integer"),
    "a nested field": (
        {"checkpoint": {"every_minutes": 0, "keep": 1}},
        "checkpoint.every_minutes: Input should be greater than 0",
    ),
    "another version": ({"version": 2}, "version: Input should be 1"),
}


@pytest.mark.parametrize(("change", "expected"), FAULTS.values(), ids=FAULTS)
def test_a_document_that_does_not_fit_names_the_field(
    change: dict[str, object], expected: str, tmp_path: Path
) -> None:
    path = tmp_path / "run.json"
    path.write_text(json.dumps(json.loads(RUN.to_json()) | change), "utf-8")
    with pytest.raises(ConfigError) as refusal:
        RunConfig.read(path)
    assert str(refusal.value).startswith(f"{path} is not a RunConfig: {expected}")
    assert str(refusal.value).endswith(
        "; it is written by qinstruct and must match this version of the trainer"
    )


def test_a_file_that_is_no_json(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    path.write_text("not json")
    with pytest.raises(ConfigError, match="the document: Invalid JSON"):
        RunConfig.read(path)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot be read: No such file or directory"):
        RunConfig.read(tmp_path / "run.json")


@pytest.mark.parametrize("config", [PREP, RUN, SOURCE], ids=lambda config: type(config).__name__)
def test_configs_are_frozen(config: BaseModel) -> None:
    with pytest.raises(ValidationError, match="frozen"):
        setattr(config, next(iter(type(config).model_fields)), None)


@pytest.mark.parametrize(
    "content",
    [
        b"\xff\xfe{}",
        b'{"seed": ' + b"9" * 5_000 + b"}",
        b'{"seed": 1e999999}',
        b"[" * 100_000,
        b'{"run": "\\ud800"}',
    ],
    ids=range(5),
)
def test_what_breaks_a_reader_is_refused_in_a_sentence(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_bytes(content)
    with pytest.raises(ConfigError, match=r"run\.json is not a RunConfig: ") as refused:
        RunConfig.read(tmp_path / "run.json")
    assert len(str(refused.value)) < 500
