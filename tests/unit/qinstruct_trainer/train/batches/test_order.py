"""Which records are in which step: against accelerate's shards, and as properties."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from accelerate.data_loader import BatchSamplerShard
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import BatchSampler

from qinstruct_trainer.train.batches.order import SampleOrder
from support.training.run_configs import run_config


def make_order(
    num_records: int = 33,
    *,
    micro: int = 2,
    world: int = 2,
    accumulation: int = 2,
    epochs: int = 2,
    grouped: bool = True,
    seed: int = 3,
) -> SampleOrder:
    signs = np.where(np.arange(num_records) % 3 == 2, -1, 1)
    lengths = ((np.arange(num_records) % 11 + 1) * signs).astype(np.int32)
    return SampleOrder(
        lengths=lengths,
        grouped=grouped,
        seed=seed,
        epochs=epochs,
        global_batch_size=micro * world * accumulation,
        micro_batch_size=micro,
        world_size=world,
    )


def step_records(order: SampleOrder, step: int) -> list[int]:
    """All records of a step: pass by pass, rank by rank."""
    return [
        record
        for forward in range(order.accumulation)
        for rank in range(order.world_size)
        for record in order.micro_batch(step, forward, rank)
    ]


def epoch_records(order: SampleOrder, epoch: int) -> list[int]:
    steps = order.num_steps // order.epochs
    return [
        r for step in range(epoch * steps, (epoch + 1) * steps) for r in step_records(order, step)
    ]


@given(
    num_records=st.integers(2, 90),
    micro=st.integers(1, 4),
    world=st.integers(1, 4),
    accumulation=st.integers(1, 3),
    grouped=st.booleans(),
    seed=st.integers(0, 2**31),
)
def test_an_epoch_has_every_record_once_and_is_filled_up_from_its_start(
    num_records: int, micro: int, world: int, accumulation: int, grouped: bool, seed: int
) -> None:
    order = make_order(
        num_records,
        micro=micro,
        world=world,
        accumulation=accumulation,
        grouped=grouped,
        seed=seed,
    )
    for epoch in range(order.epochs):
        records = epoch_records(order, epoch)
        assert sorted(records[:num_records]) == list(range(num_records))
        filled = records[num_records:]
        assert filled == [records[i % num_records] for i in range(len(filled))]
        assert len(filled) < order.global_batch_size


@pytest.mark.parametrize("num_records", [32, 33, 38, 47])
def test_ranks_get_the_micro_batches_that_accelerate_deals(num_records: int) -> None:
    order = make_order(num_records, accumulation=1)
    epoch = epoch_records(order, 0)[:num_records]
    for rank in range(order.world_size):
        shard = BatchSamplerShard(
            BatchSampler(epoch, order.micro_batch_size, drop_last=False),
            num_processes=order.world_size,
            process_index=rank,
            split_batches=False,
            even_batches=True,
        )
        steps = range(order.num_steps // order.epochs)
        assert list(shard) == [order.micro_batch(step, 0, rank) for step in steps]


@pytest.mark.parametrize("grouped", [True, False])
@pytest.mark.parametrize("seed", range(3))
def test_the_records_of_an_image_follow_each_other(seed: int, grouped: bool) -> None:
    """33 records: 11 of text, each for itself, and 22 about 8 images, in steps of 4."""
    numbers = np.arange(33)
    images = np.where(numbers % 3 == 2, -1, numbers % 8).astype(np.int32)
    order = replace(make_order(33, accumulation=1, grouped=grouped, seed=seed), images=images)
    for epoch in range(2):
        records = epoch_records(order, epoch)[:33]
        assert sorted(records) == list(range(33))
        found = [image for image in images[records].tolist() if image >= 0]
        runs = [image for n, image in enumerate(found) if n == 0 or image != found[n - 1]]
        # A step of one modality may lie in the middle of an image.
        assert sorted(runs) == list(range(8)) or grouped
    if grouped:
        signs = [{int(np.sign(order.lengths[r])) for r in step_records(order, k)} for k in range(7)]
        assert sorted(map(sorted, signs)) == [[-1]] * 2 + [[1]] * 5
    assert epoch_records(order, 0) != epoch_records(order, 1)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("world", "accumulation"), [(1, 4), (2, 2), (4, 1)])
def test_a_whole_step_has_one_modality_whoever_shares_it(
    world: int, accumulation: int, seed: int
) -> None:
    order = make_order(40, world=world, accumulation=accumulation, epochs=1, seed=seed)
    signs = [{int(np.sign(order.lengths[r])) for r in step_records(order, k)} for k in range(4)]
    # 27 with an image and 13 without make 3 steps and 1; the rest of both is the fifth.
    assert sorted(map(sorted, signs)) == [[-1], [1], [1], [1]]


@pytest.mark.parametrize("grouped", [True, False])
def test_the_order_is_the_one_that_the_configuration_asks_for(
    tmp_path: Path, grouped: bool
) -> None:
    config = run_config(tmp_path, tmp_path, group_by_modality=grouped, micro_batch_size=2)
    order = SampleOrder.of(config, make_order().lengths)
    expected = make_order(epochs=3, seed=7, grouped=grouped)
    assert (order.num_steps, order.accumulation) == (expected.num_steps, expected.accumulation)
    assert epoch_records(order, 2) == epoch_records(expected, 2)


def test_epochs_and_seeds_differ_and_the_same_seed_does_not() -> None:
    order = make_order()
    assert epoch_records(order, 0) != epoch_records(order, 1)
    assert epoch_records(order, 0) == epoch_records(make_order(), 0)
    assert epoch_records(order, 0) != epoch_records(make_order(seed=4), 0)
    # Epoch 1 of a seed is epoch 0 of the next one: the generator is seeded with their sum.
    assert epoch_records(order, 1) == epoch_records(make_order(seed=4), 0)
