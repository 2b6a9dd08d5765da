from pathlib import Path

import pytest

from qinstruct_trainer.train.checkpoint.layout import quarantined_folders
from qinstruct_trainer.train.checkpoint.quarantine import set_aside
from qinstruct_trainer.train.checkpoint.retention import delete_partial


def test_the_one_that_is_set_aside_takes_the_place_of_the_one_before(tmp_path: Path) -> None:
    for step in (2, 3, 2):  # a step that is trained and damaged a second time too
        folder = tmp_path / f"step-{step:08d}"
        folder.mkdir()
        (folder / "latest").write_text(str(step))
        moved = set_aside(tmp_path, folder)
        assert moved == tmp_path / "quarantine" / folder.name
        assert list((tmp_path / "quarantine").iterdir()) == [moved]
        assert (moved / "latest").read_text() == str(step)
        assert not folder.exists()


@pytest.mark.parametrize("others", [(2,), (2, 3), ()], ids=len)
def test_a_planted_link_costs_nobody_else_his_checkpoints(
    others: tuple[int, ...], tmp_path: Path
) -> None:
    """`quarantine` leads to another run's checkpoints, of which the newest alone would stay."""
    elsewhere = tmp_path / "other-run"
    for step in others:
        (elsewhere / f"step-{step:08d}").mkdir(parents=True)
    checkpoints = tmp_path / "checkpoints"
    damaged = checkpoints / "step-00000005"
    damaged.mkdir(parents=True)
    (checkpoints / "quarantine").symlink_to(elsewhere)
    assert quarantined_folders(checkpoints) == []
    delete_partial(checkpoints)
    moved = set_aside(checkpoints, damaged)
    assert moved.is_dir()
    assert not moved.parent.is_symlink()
    assert len(list(elsewhere.glob("*"))) == len(others)
