"""Blocks: whatever they are, the files are the same; what could not be read back is refused."""

from pathlib import Path

import numpy as np
import pytest

from qinstruct_trainer.data.image_tokens import TokenizedRecord
from qinstruct_trainer.data.index.block import Block, BlockBuilder, token_dtype, unsupervised
from qinstruct_trainer.data.index.writer import IndexWriter

IMAGE = 100
Row = tuple[list[int], list[int], tuple[int, str] | None]
ROWS: list[Row] = [
    ([1, IMAGE, 3, 4], [2, 3], (0, "a.jpg")),
    ([5], [], None),
    ([], [], None),
    ([1, IMAGE], [], (1, "a.jpg")),
    ([7, 8, 9], [0, 2], (0, "a.jpg")),
    ([IMAGE, IMAGE, 6], [2], (0, "b.jpg")),
]


def writer(folder: Path) -> IndexWriter:
    return IndexWriter(
        folder,
        image_token_id=IMAGE,
        num_image_tokens=5,
        pad_token_id=0,
        max_length=24,
        roots=[Path("/one"), Path("/two")],
    )


def block(rows: list[Row]) -> Block:
    builder = BlockBuilder(token_dtype(IMAGE, 0))
    for ids, learnt, image in rows:
        array = np.array(ids, np.int64)
        labels = np.full(len(ids), -100, np.int64)
        labels[learnt] = array[learnt]
        length = len(ids) + 4 * ids.count(IMAGE)
        builder.add(TokenizedRecord(array, labels, length), words=3, image=image)
    return builder.build()


def contents(folder: Path, *blocks: Block) -> dict[str, bytes]:
    with writer(folder) as index:
        for part in blocks:
            index.add_block(part)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("cut", range(len(ROWS) + 1))
def test_where_blocks_end_does_not_matter(cut: int, tmp_path: Path) -> None:
    whole = contents(tmp_path / "whole", block(ROWS))
    assert contents(tmp_path / "cut", block(ROWS[:cut]), block(ROWS[cut:])) == whole
    assert contents(tmp_path / "single", *(block([row]) for row in ROWS)) == whole


def test_records_with_nothing_to_learn_are_known() -> None:
    assert unsupervised(block(ROWS)) == [1, 2, 3]


def test_rows_that_do_not_fit_their_tokens_are_a_bug(tmp_path: Path) -> None:
    good = block(ROWS)
    for rows in (good.rows[:-1], good.rows[::-1]):
        with writer(tmp_path) as index, pytest.raises(ValueError, match="do not fit"):
            index.add_block(Block(good.tokens, good.spans, rows, good.images))


def test_a_length_of_another_setting_is_a_bug(tmp_path: Path) -> None:
    good = block(ROWS)
    for number in range(len(ROWS)):
        rows = good.rows.copy()
        rows["length"][number] += 1
        with writer(tmp_path) as index, pytest.raises(ValueError, match="does not fit"):
            index.add_block(Block(good.tokens, good.spans, rows, good.images))
