"""Whole runs of two real processes: the mathematics does not depend on how it is spread."""

import shutil
from pathlib import Path

import pytest
import torch

from qinstruct_trainer.contract.config import RunConfig
from qinstruct_trainer.contract.errors import EXIT_OK
from qinstruct_trainer.contract.events import Checkpoint, Complete, Exported, Start, Step
from qinstruct_trainer.model.llava import load_checked
from support.training.prepared_folder import NUM_STEPS
from support.training.processes import Ended, losses, train, weights
from support.training.run_configs import GLOBAL_BATCH, run_config

pytestmark = pytest.mark.slow


def test_a_run_reports_every_step_and_leaves_a_loadable_model(uninterrupted: RunConfig) -> None:
    output = uninterrupted.output
    ended = Ended(EXIT_OK, (output / "stdout").read_text(), (output / "stderr").read_text())
    kinds = [type(event) for event in ended.events]
    assert kinds == [Checkpoint, Start, *[Step] * NUM_STEPS, Checkpoint, Exported, Complete]
    assert [line for line in ended.stdout.splitlines() if not line.startswith("{")] == []
    assert ended.stderr == ""

    steps = [event for event in ended.events if isinstance(event, Step)]
    assert [step.step for step in steps] == list(range(1, NUM_STEPS + 1))
    assert steps[0].learning_rate == 0.0  # the first step of a warm-up
    assert steps[2].learning_rate == uninterrupted.learning_rate
    assert sum(losses(uninterrupted)[-3:]) < sum(losses(uninterrupted)[:3])
    assert load_checked(output / "model", precision="fp32").config.model_type == "llava"
    assert (output / "record.json").exists()
    assert (output / "loss.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("stage", [1, 3])
def test_zero_stages_have_the_same_losses(
    stage: int, uninterrupted: RunConfig, prepared: Path, tmp_path: Path
) -> None:
    config = run_config(prepared, tmp_path, zero_stage=stage)
    ended = train(config)
    assert ended.code == EXIT_OK, ended.stderr
    torch.testing.assert_close(losses(config), losses(uninterrupted), rtol=1e-6, atol=0)


@pytest.fixture(scope="module")
def large_micro_batches(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> list[float]:
    config = run_config(prepared, tmp_path_factory.mktemp("large"), group_by_modality=False)
    assert train(config).code == EXIT_OK
    return losses(config)


@pytest.mark.parametrize("stage", [2, 3])
def test_accumulated_single_samples_of_mixed_modality_equal_large_micro_batches(
    stage: int, large_micro_batches: list[float], prepared: Path, tmp_path: Path
) -> None:
    """In many passes one rank has an image and the other one has none."""
    config = run_config(
        prepared, tmp_path, group_by_modality=False, zero_stage=stage, micro_batch_size=1
    )
    assert config.global_batch_size == GLOBAL_BATCH
    ended = train(config)
    assert ended.code == EXIT_OK, ended.stderr
    torch.testing.assert_close(losses(config), large_micro_batches, rtol=2e-5, atol=0)


def test_a_complete_run_says_so_at_once(uninterrupted: RunConfig, tmp_path: Path) -> None:
    config = uninterrupted.model_copy(update={"output": tmp_path / "copy"})
    shutil.copytree(uninterrupted.output, config.output)
    ended = train(config)
    assert ended.code == EXIT_OK
    assert [type(event) for event in ended.events] == [Complete]
    assert weights(config) == weights(uninterrupted)
