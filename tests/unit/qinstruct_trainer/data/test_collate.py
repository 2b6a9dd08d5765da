"""Batches and the order of samples (equality with the original: tests/oracle)."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from qinstruct_trainer.contract.errors import DataError
from qinstruct_trainer.data.collate import collate
from qinstruct_trainer.data.images import load_pixels
from qinstruct_trainer.data.index.reader import Example
from qinstruct_trainer.data.sampler import ModalityLengthSampler


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


@given(
    st.lists(st.integers(-50, 50).filter(bool), max_size=80),
    st.integers(1, 5),
    st.integers(1, 5),
    st.integers(0, 2**32),
)
def test_every_record_comes_once_and_a_seed_is_an_order(
    lengths: list[int], batch_size: int, world_size: int, seed: int
) -> None:
    orders = [
        list(
            ModalityLengthSampler(
                lengths, batch_size, world_size, torch.Generator().manual_seed(seed)
            )
        )
        for _ in range(2)
    ]
    assert orders[0] == orders[1]
    assert sorted(orders[0]) == list(range(len(lengths)))


def test_a_length_of_zero_is_named() -> None:
    with pytest.raises(DataError, match="record 2 has length 0"):
        ModalityLengthSampler([3, -4, 0], 1, 1, torch.Generator())
