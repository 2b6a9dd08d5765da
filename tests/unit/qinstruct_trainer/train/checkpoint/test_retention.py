import shutil
from pathlib import Path

import pytest

from qinstruct_trainer.contract.errors import StorageError
from qinstruct_trainer.train.checkpoint.retention import check_space, prune


@pytest.mark.parametrize(("keep", "left"), [(1, [1000]), (2, [20, 1000]), (9, [3, 20, 1000])])
def test_prune_keeps_the_newest_by_step(keep: int, left: list[int], tmp_path: Path) -> None:
    for step in (1000, 3, 20):
        (tmp_path / f"step-{step:08d}" / "state").mkdir(parents=True)
    (tmp_path / "quarantine").mkdir()
    prune(tmp_path, keep)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"quarantine", *(f"step-{step:08d}" for step in left)}


def test_space_for_a_second_checkpoint(tmp_path: Path) -> None:
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    (folder / "small").write_bytes(b"12345")
    check_space(tmp_path)


def test_no_space_for_a_second_checkpoint(tmp_path: Path) -> None:
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    with (folder / "huge").open("wb") as file:  # a hole: it takes no space itself
        file.truncate(shutil.disk_usage(tmp_path).total + 1)
    with pytest.raises(StorageError, match=r"bytes left, but the next checkpoint needs [\d,]+; "):
        check_space(tmp_path)
