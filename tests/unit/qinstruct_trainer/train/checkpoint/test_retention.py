import shutil
from pathlib import Path

import pytest

from qinstruct_trainer.contract.errors import StorageError
from qinstruct_trainer.train.checkpoint.retention import (
    check_space,
    delete_partial,
    discard,
    prune,
)


@pytest.mark.parametrize(("keep", "left"), [(1, [1000]), (2, [20, 1000]), (9, [3, 20, 1000])])
def test_prune_keeps_the_newest_by_step(keep: int, left: list[int], tmp_path: Path) -> None:
    _make(tmp_path, 1000, 3, 20)
    prune(tmp_path, keep)
    assert _names(tmp_path) == ["quarantine", *(f"step-{step:08d}" for step in left)]


def test_the_untrained_one_stays_only_until_there_is_a_trained_one(tmp_path: Path) -> None:
    _make(tmp_path, 0)
    prune(tmp_path, 2)
    assert _names(tmp_path) == ["quarantine", "step-00000000"]
    _make(tmp_path, 0, 5)
    prune(tmp_path, 2)
    assert _names(tmp_path) == ["quarantine", "step-00000005"]


def test_a_folder_that_is_being_deleted_is_no_checkpoint_any_more(tmp_path: Path) -> None:
    """What cannot be deleted stands for a process that is killed in the middle."""
    _make(tmp_path, 5)
    (tmp_path / ".partial-step-00000005").write_text("in the way")
    with pytest.raises(NotADirectoryError):
        discard(tmp_path / "step-00000005")
    (tmp_path / ".partial-step-00000005").unlink()
    discard(tmp_path / "step-00000005")
    assert _names(tmp_path) == ["quarantine"]


def test_all_that_is_incomplete_is_deleted_and_one_stays_in_quarantine(tmp_path: Path) -> None:
    _make(tmp_path, 5)
    _make(tmp_path / "quarantine", 1, 2, 3)  # an older version kept several
    for step in (4, 6):
        (tmp_path / f".partial-step-{step:08d}" / "state").mkdir(parents=True)
    delete_partial(tmp_path)
    assert _names(tmp_path) == ["quarantine", "step-00000005"]
    assert "step-00000003" in _names(tmp_path / "quarantine")
    assert len(_names(tmp_path / "quarantine")) == 2  # it and its own, empty, quarantine


def _make(folder: Path, *steps: int) -> None:
    for step in steps:
        (folder / f"step-{step:08d}" / "state").mkdir(parents=True, exist_ok=True)
    (folder / "quarantine").mkdir(exist_ok=True)


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_space_for_the_checkpoints_to_come(tmp_path: Path) -> None:
    _checkpoint_of(5, tmp_path)
    check_space(tmp_path, 2)


@pytest.mark.parametrize(("keep", "to_come"), [(1, 1), (2, 2), (5, 5)])
def test_no_space_for_all_of_them(keep: int, to_come: int, tmp_path: Path) -> None:
    """There is room for all but one; asked for at the start, not when the last one is written."""
    free = shutil.disk_usage(tmp_path).free
    size = free // to_come + 2**30  # somebody else may free some while this runs
    _checkpoint_of(size, tmp_path)
    sentence = (
        rf"{to_come} more checkpoints .* need {to_come * size:,}; enlarge output\.size or lower"
    )
    with pytest.raises(StorageError, match=sentence):
        check_space(tmp_path, keep)


def test_what_a_resumed_run_has_already_needs_no_space(tmp_path: Path) -> None:
    size = shutil.disk_usage(tmp_path).free * 2 // 3
    _checkpoint_of(size, tmp_path, step=5)
    with pytest.raises(StorageError, match="2 more checkpoints"):
        check_space(tmp_path, 2)
    _checkpoint_of(size, tmp_path, step=6)
    check_space(tmp_path, 2)  # only the next one, while it is written


def _checkpoint_of(num_bytes: int, output: Path, step: int = 0) -> None:
    folder = output / "checkpoints" / f"step-{step:08d}"
    folder.mkdir(parents=True)
    with (folder / "hole").open("wb") as file:  # which takes no space itself
        file.truncate(num_bytes)
