"""An image is one placeholder where it is stored and a run of them for the model."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qinstruct_trainer.data.image_tokens import cut_record, expand_images

IMAGE = 9


@pytest.mark.parametrize(
    ("max_length", "stored", "expanded", "runs"),
    [
        (9, [1, 9, 2, 9, 3], [1, 9, 9, 9, 2, 9, 9, 9, 3], ((1, 3), (5, 3))),
        (7, [1, 9, 2, 9], [1, 9, 9, 9, 2, 9, 9], ((1, 3), (5, 2))),  # through the second image
        (5, [1, 9, 2], [1, 9, 9, 9, 2], ((1, 3),)),
        (2, [1, 9], [1, 9], ((1, 1),)),
        (1, [1], [1], ()),
    ],
)
def test_a_cut_counts_the_expanded_images(
    max_length: int, stored: list[int], expanded: list[int], runs: tuple[tuple[int, int], ...]
) -> None:
    ids = np.array([1, 9, 2, 9, 3])
    labels = np.array([-100, -100, 2, -100, 3])
    cut = cut_record(ids, labels, IMAGE, 3, max_length)
    assert cut.input_ids.tolist() == stored
    assert cut.labels.tolist() == labels[: len(stored)].tolist()
    assert cut.num_tokens == len(expanded)
    encoded = expand_images(cut.input_ids, cut.labels, IMAGE, 3, max_length)
    assert encoded.input_ids.tolist() == expanded
    assert encoded.image_runs == runs


@given(st.lists(st.integers(0, IMAGE), max_size=30), st.integers(1, 6), st.integers(1, 60))
def test_what_was_cut_expands_to_what_is_cut_after_expanding(
    tokens: list[int], num_image_tokens: int, max_length: int
) -> None:
    ids = np.array(tokens, np.int64)
    labels = np.where(ids == IMAGE, -100, ids)
    cut = cut_record(ids, labels, IMAGE, num_image_tokens, max_length)
    settings = (IMAGE, num_image_tokens, max_length)
    ours, whole = (
        expand_images(cut.input_ids, cut.labels, *settings),
        expand_images(ids, labels, *settings),
    )
    assert ours.input_ids.tolist() == whole.input_ids.tolist()
    assert ours.labels.tolist() == whole.labels.tolist()
    assert ours.image_runs == whole.image_runs
    assert len(ours.input_ids) == cut.num_tokens
    for start, length in ours.image_runs:
        assert (ours.input_ids[start : start + length] == IMAGE).all()
        assert (ours.labels[start : start + length] == -100).all()
