from pathlib import Path

import pytest
import torch

from qinstruct_trainer.contract.errors import ConfigError
from qinstruct_trainer.train.checkpoint.resume import resume
from support.checkpoints import IDENTITY, RANKS, TextEngine, write_checkpoints


def test_nothing_to_resume(tmp_path: Path) -> None:
    assert resume(TextEngine(), tmp_path, IDENTITY, RANKS) is None


def test_the_newest_checkpoint_is_loaded(tmp_path: Path) -> None:
    write_checkpoints(tmp_path, 0, 5, 10)
    assert _resumed(tmp_path) == (10, "10")


def test_random_numbers_go_on_as_if_nothing_had_happened(tmp_path: Path) -> None:
    write_checkpoints(tmp_path, 1)
    expected = torch.rand(4)
    torch.manual_seed(0)
    _resumed(tmp_path)
    assert torch.equal(torch.rand(4), expected)


def test_damaged_and_partial_ones_are_set_aside(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_checkpoints(tmp_path, 0, 5, 10)
    checkpoints = tmp_path / "checkpoints"
    for step in (5, 10):
        (checkpoints / f"step-{step:08d}" / "latest").unlink()
    (checkpoints / ".partial-step-00000012").mkdir()

    assert _resumed(tmp_path) == (0, "0")
    said = capsys.readouterr().err
    assert f"{checkpoints / '.partial-step-00000012'} is incomplete and was moved to" in said
    assert f"{checkpoints / 'step-00000010'} is damaged and was moved to" in said
    quarantined = sorted(path.name for path in (checkpoints / "quarantine").iterdir())
    assert quarantined == ["step-00000005", "step-00000010", "step-00000012"]


def test_all_are_damaged(tmp_path: Path) -> None:
    write_checkpoints(tmp_path, 5)
    (tmp_path / "checkpoints" / "step-00000005" / "manifest.json").unlink()
    assert resume(TextEngine(), tmp_path, IDENTITY, RANKS) is None


def test_a_checkpoint_of_another_run_is_refused_and_stays(tmp_path: Path) -> None:
    write_checkpoints(tmp_path, 5)
    other = IDENTITY.model_copy(update={"learning_rate": 0.1})
    with pytest.raises(ConfigError, match=r"step-00000005 was written with learning_rate 0\.5"):
        resume(TextEngine(), tmp_path, other, RANKS)
    assert _resumed(tmp_path) == (5, "5")


def _resumed(output: Path) -> tuple[int | None, str]:
    engine = TextEngine()
    step = resume(engine, output, IDENTITY, RANKS)
    return step, engine.text
