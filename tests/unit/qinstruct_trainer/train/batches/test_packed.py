"""The rows of a run: each record's targets once an epoch, at the weight that the order gives it."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qinstruct_trainer.contract.config import Packing
from qinstruct_trainer.contract.errors import ConfigError
from qinstruct_trainer.data.index.reader import Index
from qinstruct_trainer.train.batches.loader import MicroBatches
from qinstruct_trainer.train.batches.order import SampleOrder
from qinstruct_trainer.train.batches.packed import PackedOrder, order_of
from support.model.tiny import IMAGE_SIZE, NUM_PATCHES
from support.training.prepared_folder import NUM_RECORDS, write_prepared
from support.training.run_configs import run_config


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_prepared(tmp_path_factory.mktemp("prepared"), questions=4).parent


def packed(folder: Path, packing: Packing, **changes: object) -> PackedOrder:
    config = run_config(folder / "prepared.json", folder, packing=packing, **changes)
    order = order_of(config, Index.open(folder / "index"))
    assert isinstance(order, PackedOrder)
    return order


def synthetic(
    images: list[int], seed: int, *, micro: int, world: int, accumulation: int, grouped: bool
) -> PackedOrder:
    """Records of these images, each with 9 shared tokens; -1 is text."""
    number = np.array(images, np.int32)
    rng = np.random.default_rng(seed)
    lengths = rng.integers(10, 60, len(images)).astype(np.int32)
    order = SampleOrder(
        lengths=np.where(number < 0, -lengths, lengths).astype(np.int32),
        grouped=grouped,
        seed=seed,
        epochs=2,
        global_batch_size=micro * world * accumulation,
        micro_batch_size=micro,
        world_size=world,
        images=number,
    )
    shared = np.where(number < 0, 0, 9).astype(np.int32)
    return PackedOrder(
        order, lengths, (lengths // 3).astype(np.int64), number, shared, budget=micro * 64
    )


def step_records(order: PackedOrder, step: int) -> list[int]:
    return [
        record
        for forward in range(order.passes(step))
        for rank in range(order.order.world_size)
        for record in order.share(step, forward, rank).records
    ]


@settings(max_examples=60, deadline=None)
@given(
    images=st.lists(st.integers(-1, 8), min_size=1, max_size=60),
    seed=st.integers(0, 999),
    micro=st.integers(1, 4),
    world=st.integers(1, 4),
    accumulation=st.integers(1, 3),
    grouped=st.booleans(),
)
def test_an_epoch_has_every_record_once_and_is_filled_up(
    images: list[int], seed: int, micro: int, world: int, accumulation: int, grouped: bool
) -> None:
    def make() -> PackedOrder:
        return synthetic(
            images, seed, micro=micro, world=world, accumulation=accumulation, grouped=grouped
        )

    order = make()
    steps = order.num_steps // 2
    for epoch in range(2):
        found = [step_records(order, step) for step in range(epoch * steps, (epoch + 1) * steps)]
        assert {len(records) for records in found} == {order.order.global_batch_size}
        counts = Counter(record for records in found for record in records)
        first = order.order.step_records(epoch * steps)
        missing = steps * order.order.global_batch_size - len(images)
        expected = Counter(range(len(images))) + Counter(
            (order.order._places(epoch * steps * len(first), len(images)) * (missing + 1))[:missing]
        )
        assert counts == expected
    # Any step, asked of another process, first: the step alone decides.
    last = order.num_steps - 1
    fresh = make()
    assert fresh.share(last, 0, 0) == order.share(last, 0, 0)


@settings(max_examples=30, deadline=None)
@given(images=st.lists(st.integers(0, 8), min_size=8, max_size=60), seed=st.integers(0, 999))
def test_the_weights_are_those_of_the_micro_batches_in_the_order(
    images: list[int], seed: int
) -> None:
    order = synthetic(images, seed, micro=2, world=2, accumulation=2, grouped=False)
    for step in range(order.num_steps):
        records = order.order.step_records(step)
        learnt = order.learnt[records].reshape(-1, 2).sum(axis=1).tolist()
        expected = Counter((record, learnt[place // 2]) for place, record in enumerate(records))
        found: Counter[tuple[int, int]] = Counter()
        for forward in range(order.passes(step)):
            for rank in range(2):
                share = order.share(step, forward, rank)
                assert share.divisors is not None
                found.update(zip(share.records, share.divisors, strict=True))
        assert found == expected


def test_records_of_an_image_are_in_few_steps_and_in_one_piece_of_a_rank() -> None:
    images = np.repeat(np.arange(30), 5).tolist()
    order = synthetic(images, 1, micro=10, world=2, accumulation=1, grouped=False)
    steps_of: dict[int, set[int]] = {}
    for step in range(7):  # without what fills up the last one
        for rank in range(2):
            share = order.share(step, 0, rank)
            shown = [images[piece[0]] for piece in share.pieces]
            assert len(shown) == len(set(shown))
            for record in share.records:
                steps_of.setdefault(images[record], set()).add(step)
    assert {len(steps) for steps in steps_of.values()} == {1}


@pytest.mark.parametrize("packing", ["sequence", "prefix"])
def test_sequence_has_the_steps_of_none_and_prefix_those_of_images(
    folder: Path, packing: Packing
) -> None:
    order = packed(folder, packing)
    plain = order_of(run_config(folder / "prepared.json", folder), Index.open(folder / "index"))
    assert isinstance(plain, SampleOrder)
    assert order.num_steps == plain.num_steps
    alike = all(
        sorted(step_records(order, step)) == sorted(plain.step_records(step))
        for step in range(order.num_steps)
    )
    assert alike == (packing == "sequence")


@pytest.mark.parametrize("packing", ["sequence", "prefix"])
def test_every_target_is_learnt_once_an_epoch_and_rows_are_as_long_as_planned(
    folder: Path, packing: Packing
) -> None:
    order = packed(folder, packing)
    index = Index.open(folder / "index")
    found: Counter[int] = Counter()
    for rank in range(2):
        batches = MicroBatches(index, order, rank, IMAGE_SIZE)
        for step in range(order.num_steps // 3):
            for forward in range(order.passes(step)):
                batch = batches.batch(step, forward)
                assert batch.num_tokens <= order.budget
                assert len(batch.pixel_values) == len(order.share(step, forward, rank).pieces)
                found.update(batch.targets.tolist())
    records = [r for step in range(order.num_steps // 3) for r in step_records(order, step)]
    expected = Counter(
        int(label) for r in records for label in index[r].labels[1:] if label != -100
    )
    assert found == expected
    assert set(records) == set(range(NUM_RECORDS))


def test_prefix_computes_an_image_of_a_rank_once(folder: Path) -> None:
    order = packed(folder, "prefix")
    shared = order.shared[order.images >= 0]
    assert set(shared.tolist()) == {1 + NUM_PATCHES}
    pieces = [
        piece
        for step in range(order.num_steps)
        for rank in range(2)
        for forward in range(order.passes(step))
        for piece in order.share(step, forward, rank).pieces
    ]
    assert any(len(piece) > 1 for piece in pieces)
    assert all(len({int(order.images[record]) for record in piece}) == 1 for piece in pieces)


@pytest.mark.parametrize("attention", ["flash_attention_2", "eager"])
def test_a_kernel_that_cannot_share_is_refused(folder: Path, attention: str) -> None:
    with pytest.raises(ConfigError, match=f"{attention} cannot share a prefix"):
        packed(folder, "prefix", attention=attention)
    packed(folder, "sequence", attention=attention)
