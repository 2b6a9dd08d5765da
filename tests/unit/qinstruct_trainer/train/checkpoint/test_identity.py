import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from qinstruct_trainer.contract.config import Prepared, RunConfig
from qinstruct_trainer.contract.errors import ConfigError
from qinstruct_trainer.data.index.reader import Index
from qinstruct_trainer.train.checkpoint.identity import Identity
from support.training.prepared_folder import write_prepared
from support.training.run_configs import run_config

WHERE = Path("/output/checkpoints/step-00000005")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    return Prepared.read(write_prepared(tmp_path_factory.mktemp("prepared")))


@pytest.fixture
def config(tmp_path: Path) -> RunConfig:
    return run_config(tmp_path / "prepared.json", tmp_path)


def identity(config: RunConfig, prepared: Prepared) -> Identity:
    return Identity.of(config, prepared, Index.open(prepared.index))


def test_it_holds_model_data_and_the_fixed_values(config: RunConfig, prepared: Prepared) -> None:
    found = json.loads(identity(config, prepared).model_dump_json())
    assert set(found) == {"model", "data", *config.fixed_values()}
    assert found["model"] == "base"
    assert len(found["data"]) == 64


def test_a_run_with_other_places_and_pauses_is_the_same(
    config: RunConfig, prepared: Prepared, tmp_path: Path
) -> None:
    moved = config.model_copy(update={"output": tmp_path / "moved", "stop_after_step": 3})
    identity(moved, prepared).check(identity(config, prepared), WHERE)


@pytest.mark.parametrize(
    ("field", "before", "now"),
    [
        ("learning_rate", 2e-3, 1e-3),
        ("attention", "sdpa", "eager"),
        ("packing", "none", "prefix"),
        ("strategy", "mix", "after"),
    ],
)
def test_another_value_is_refused_by_name(
    field: str, before: object, now: object, config: RunConfig, prepared: Prepared
) -> None:
    other = identity(config.model_copy(update={field: now}), prepared)
    with pytest.raises(ConfigError) as refusal:
        other.check(identity(config, prepared), WHERE)
    assert str(refusal.value) == (
        f"{WHERE} was written with {field} {before}, but the run now has {now}; "
        "set it back to go on, or give the run another name to start anew"
    )


def test_another_model_or_other_data_are_refused(config: RunConfig, prepared: Prepared) -> None:
    ours = identity(config, prepared)
    for name in ("model", "data"):
        with pytest.raises(ConfigError, match=f"was written with {name} other"):
            ours.check(ours.model_copy(update={name: "other"}), WHERE)


def test_a_value_that_an_older_version_did_not_record_is_not_compared(
    config: RunConfig, prepared: Prepared
) -> None:
    ours = identity(config, prepared)
    old = {k: v for k, v in ours.model_dump().items() if k not in ("size", "strategy", "attention")}
    ours.check(Identity.model_validate(old), WHERE)


@pytest.mark.parametrize("value", ["x" * 10**6, "0.1\n\x1b[2Jdone", [[0.1] * 10**5], "\ud800"])
def test_what_a_file_says_is_shown_short_and_harmless(
    value: object, config: RunConfig, prepared: Prepared
) -> None:
    ours = identity(config, prepared)
    with pytest.raises(ConfigError, match="was written with learning_rate") as refusal:
        ours.check(ours.model_copy(update={"learning_rate": value}), WHERE)
    assert len(str(refusal.value)) < 500
    assert str(refusal.value).isprintable()


def test_a_document_without_model_and_data_is_no_identity() -> None:
    with pytest.raises(ValidationError):
        Identity.model_validate_json('{"learning_rate": 0.5}')


def test_what_was_written_before_there_was_packing_had_none(
    config: RunConfig, prepared: Prepared
) -> None:
    older = Identity.model_validate(identity(config, prepared).model_dump(exclude={"packing"}))
    identity(config, prepared).check(older, WHERE)
    packed = identity(config.model_copy(update={"packing": "sequence"}), prepared)
    with pytest.raises(ConfigError, match="with packing none, but the run now has sequence"):
        packed.check(older, WHERE)
