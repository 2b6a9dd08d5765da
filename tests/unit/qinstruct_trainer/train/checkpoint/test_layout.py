from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from qinstruct_trainer.train.checkpoint.layout import (
    checkpoint_folder,
    checkpoints_folder,
    partial_folder,
    partial_folders,
    published_folders,
    quarantined_folder,
    quarantined_folders,
    step_of,
)

CHECKPOINTS = checkpoints_folder(Path("/output"))


def test_a_partial_checkpoint_is_a_hidden_sibling_of_the_published_one() -> None:
    published = checkpoint_folder(CHECKPOINTS, 7)
    assert published == Path("/output/checkpoints/step-00000007")
    assert partial_folder(published) == Path("/output/checkpoints/.partial-step-00000007")


def test_published_ones_are_listed_oldest_first_and_apart_from_partial_ones(
    tmp_path: Path,
) -> None:
    published = [checkpoint_folder(tmp_path, step) for step in (9, 100, 1000)]
    partial = [partial_folder(checkpoint_folder(tmp_path, step)) for step in (10, 2000)]
    for folder in [*reversed(published), *reversed(partial), tmp_path / "quarantine"]:
        folder.mkdir()
    assert published_folders(tmp_path) == published
    assert partial_folders(tmp_path) == partial


def test_a_folder_that_is_not_there_has_none(tmp_path: Path) -> None:
    assert published_folders(tmp_path / "nothing") == partial_folders(tmp_path / "nothing") == []


@given(st.integers(0, 99_999_999), st.integers(0, 99_999_999))
def test_names_sort_by_step(first: int, second: int) -> None:
    names = [checkpoint_folder(CHECKPOINTS, step).name for step in (first, second)]
    assert (names[0] < names[1]) == (first < second)


def test_what_somebody_has_put_beside_them_is_no_checkpoint(tmp_path: Path) -> None:
    """As after `mv step-00000009 step-00000009.bad`: it must not become the newest one."""
    for name in ("step-00000009.bad", "step-9", "step-", "step-newest", ".partial-step-x"):
        (tmp_path / name).mkdir()
    (tmp_path / "step-00000010").touch()
    assert published_folders(tmp_path) == partial_folders(tmp_path) == []


def test_quarantine_holds_the_names_of_published_ones(tmp_path: Path) -> None:
    expected = CHECKPOINTS / "quarantine" / "step-00000003"
    assert quarantined_folder(CHECKPOINTS, checkpoint_folder(CHECKPOINTS, 3)) == expected
    folder = quarantined_folder(tmp_path, checkpoint_folder(tmp_path, 3))
    folder.mkdir(parents=True)
    assert quarantined_folders(tmp_path) == [folder]
    assert published_folders(tmp_path) == []


@given(st.integers(0, 999_999_999_999))
def test_a_name_says_its_step(step: int) -> None:
    published = checkpoint_folder(CHECKPOINTS, step)
    assert step_of(published) == step_of(partial_folder(published)) == step
