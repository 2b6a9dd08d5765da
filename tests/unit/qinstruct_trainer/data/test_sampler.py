"""Any order of samples is a permutation, and a seed decides it (its values: tests/oracle)."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from qinstruct_trainer.contract.errors import DataError
from qinstruct_trainer.data.sampler import ModalityLengthSampler, random_order


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


@given(st.integers(0, 60), st.integers(0, 2**32))
def test_a_random_order_is_a_permutation_that_the_seed_decides(num: int, seed: int) -> None:
    first, same = (random_order(num, torch.Generator().manual_seed(seed)) for _ in range(2))
    assert first == same
    assert sorted(first) == list(range(num))


def test_an_epoch_goes_on_where_the_one_before_left_the_generator() -> None:
    sampler = ModalityLengthSampler([*range(1, 40)], 2, 2, torch.Generator().manual_seed(0))
    assert list(sampler) != list(sampler)
