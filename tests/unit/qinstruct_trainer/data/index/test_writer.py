"""The writer refuses what the reader could not give back; a full disk is a sentence."""

from pathlib import Path

import numpy as np
import pytest

from qinstruct_trainer.contract.errors import StorageError
from qinstruct_trainer.data.image_tokens import TokenizedRecord
from qinstruct_trainer.data.index.writer import IndexWriter

MAX_LENGTH = 24


def writer(folder: Path) -> IndexWriter:
    return IndexWriter(
        folder,
        image_token_id=100,
        num_image_tokens=5,
        pad_token_id=0,
        max_length=MAX_LENGTH,
        roots=[],
    )


@pytest.mark.parametrize(
    ("ids", "num_tokens"),
    [
        ([7] * (MAX_LENGTH + 1), MAX_LENGTH + 1),  # longer than the index's records
        ([7] * (MAX_LENGTH + 1), MAX_LENGTH),  # not cut
        ([100], 3),  # an image of 3 tokens
        ([65_536], 1),  # no uint16
        ([-1], 1),
    ],
)
def test_a_record_of_another_setting_is_a_bug(
    ids: list[int], num_tokens: int, tmp_path: Path
) -> None:
    array = np.array(ids, np.int64)
    with writer(tmp_path) as index, pytest.raises(ValueError, match="does not fit"):
        index.add(TokenizedRecord(array, array, num_tokens), words=1, image=None)


def test_an_image_of_no_root_is_a_bug(tmp_path: Path) -> None:
    ids = np.arange(3)
    with writer(tmp_path) as index, pytest.raises(ValueError, match="image root 0"):
        index.add(TokenizedRecord(ids, ids, 3), words=1, image=(0, "a.jpg"))


def test_a_folder_that_cannot_be_made_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match=r"the index in .*/file/index cannot be written: Not a"):
        writer(tmp_path / "file" / "index").__enter__()
