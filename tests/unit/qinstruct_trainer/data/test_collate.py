"""Batches: padding, masks, and the pixels that belong to each placeholder."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from qinstruct_trainer.data.collate import collate
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
        pad_token_id=0,
        image_size=28,
    )
    assert batch.input_ids.tolist() == [
        [1, 9, 9, 9, 8, 9, 9],
        [1, 0, 6, 0, 0, 0, 0],
        [1, 7] + [0] * 5,
    ]
    assert batch.labels[1].tolist() == [-100, -100, 6, -100, -100, -100, -100]
    assert batch.attention_mask.sum(1).tolist() == [7, 3, 2]  # an id 0 inside a text is a token
    assert batch.num_tokens == 12
    assert batch.image_mask.sum(1).tolist() == [5, 0, 0]
    assert batch.image_mask[0].tolist() == [False, True, True, True, False, True, True]
    assert batch.image_lengths.tolist() == [3, 2, 0, 0]
    pixels = torch.from_numpy(load_pixels(path, 28))
    zeros = torch.zeros(3, 28, 28)
    assert torch.equal(batch.pixel_values, torch.stack([pixels, pixels, zeros, zeros]))
    moved = batch.to("cpu")
    assert torch.equal(moved.labels, batch.labels)
    assert moved.num_tokens == batch.num_tokens
