"""Batches: where each example lies, what it learns, and the pixels of each placeholder."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from qinstruct_trainer.data.collate import collate, collate_pieces
from qinstruct_trainer.data.images import load_pixels
from qinstruct_trainer.data.index.reader import Example


def example(
    ids: list[int], image: Path | None = None, runs: tuple[tuple[int, int], ...] = ()
) -> Example:
    array = np.array(ids, np.int64)
    return Example(array, np.where(array > 5, array, -100), image, runs)


def test_a_batch(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.new("RGB", (40, 20), (200, 10, 30)).save(path)
    batch = collate(
        [
            example([1, 9, 9, 9, 8, 9, 9], path, ((1, 3), (5, 2))),  # shown twice, the end is cut
            example([1, 0, 6]),
            example([1, 7], path),  # an image that no placeholder shows
        ],
        image_size=28,
    )
    assert batch.input_ids.tolist() == [1, 9, 9, 9, 8, 9, 9, 1, 0, 6, 1, 7]
    assert batch.positions.tolist() == [*range(7), *range(3), *range(2)]
    assert (batch.lengths, batch.num_tokens) == ((7, 3, 2), 12)
    assert batch.starts.tolist() == [0, 7, 10, 12]
    assert batch.image_places.tolist() == [1, 2, 3, 5, 6]
    assert batch.shown.tolist() == [[0, 0, 0, 1, 1], [0, 1, 2, 0, 1]]
    assert batch.learnt.tolist() == [0, 1, 2, 3, 4, 5, 8, 10]
    assert batch.targets.tolist() == [9, 9, 9, 8, 9, 9, 6, 7]
    pixels = torch.from_numpy(load_pixels(path, 28))
    zeros = torch.zeros(3, 28, 28)
    assert torch.equal(batch.pixel_values, torch.stack([pixels, pixels, zeros, zeros]))
    moved = batch.to("cpu")
    assert torch.equal(moved.targets, batch.targets)
    assert moved.lengths == batch.lengths


def test_no_example_learns_the_first_token_of_the_next() -> None:
    """The published code shifts within a row, so that a first token has nothing before it."""
    ids = np.array([9, 8], np.int64)
    batch = collate([Example(ids, ids, None, ())] * 2, image_size=28)
    assert batch.learnt.tolist() == [0, 2]
    assert batch.targets.tolist() == [8, 8]


def test_records_of_one_image_lie_behind_what_they_share(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.new("RGB", (40, 20), (200, 10, 30)).save(path)
    once = ((1, 3),)
    batch = collate_pieces(
        [
            [
                example([1, 9, 9, 9, 4, 7, 8], path, once),
                example([1, 9, 9, 9, 4, 6, 3, 9, 9], path, ((1, 3), (7, 2))),  # shown again
                example([1, 9, 9, 9, 4, 3], path, once),
            ],
            [example([1, 7], path)],
        ],
        divisors=[5, 6, 7, 8],
        image_size=28,
    )
    assert batch.input_ids.tolist() == [1, 9, 9, 9, 4, 7, 8, 6, 3, 9, 9, 3, 1, 7]
    assert batch.positions.tolist() == [0, 1, 2, 3, 4, 5, 6, 5, 6, 7, 8, 5, 0, 1]
    assert batch.branches == ((5, 2, 4, 1), (2,))
    assert (batch.lengths, batch.starts.tolist()) == ((12, 2), [0, 12, 14])
    assert batch.image_places.tolist() == [1, 2, 3, 9, 10]
    assert batch.shown.tolist() == [[0, 0, 0, 0, 0], [0, 1, 2, 0, 1]]
    assert len(batch.pixel_values) == 2
    # The first token of each branch is foretold from the last shared one, place 4.
    learnt = [(0, 9, 5), (1, 9, 5), (2, 9, 5), (4, 7, 5), (5, 8, 5)]
    learnt += [(0, 9, 6), (1, 9, 6), (2, 9, 6), (4, 6, 6), (8, 9, 6), (9, 9, 6)]
    learnt += [(0, 9, 7), (1, 9, 7), (2, 9, 7), (12, 7, 8)]
    assert batch.divisors is not None
    assert learnt == list(
        zip(batch.learnt.tolist(), batch.targets.tolist(), batch.divisors.tolist(), strict=True)
    )
    assert batch.squared_tokens == 25 + 2 * 12 + 4 * 14 + 1 * 11 + 4


def test_records_that_do_not_begin_alike_share_nothing(tmp_path: Path) -> None:
    records = [example([1, 3, 9, 9, 7], None, ((2, 2),)), example([1, 4, 9, 9, 7], None, ((2, 2),))]
    batch = collate_pieces([records], divisors=[1, 1], image_size=28)
    assert batch.branches == ()
    assert batch.lengths == (5, 5)
    assert batch.input_ids.tolist() == [1, 3, 9, 9, 7, 1, 4, 9, 9, 7]
    same = [example([1, 9, 9, 7], None, ((1, 2),))] * 2
    assert collate_pieces([same], divisors=[1, 1], image_size=28).branches == ((3, 1, 1),)
