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


def test_in_quarantine_a_partial_one_has_the_name_of_its_step() -> None:
    published = checkpoint_folder(CHECKPOINTS, 3)
    expected = CHECKPOINTS / "quarantine" / "step-00000003"
    assert quarantined_folder(CHECKPOINTS, published) == expected
    assert quarantined_folder(CHECKPOINTS, partial_folder(published)) == expected
