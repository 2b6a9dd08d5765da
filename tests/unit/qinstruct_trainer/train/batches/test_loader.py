import threading
from pathlib import Path

import pytest
import torch

from qinstruct_trainer.contract.errors import DataError
from qinstruct_trainer.data.collate import Batch
from qinstruct_trainer.data.index.reader import Index
from qinstruct_trainer.train.batches.loader import MicroBatches, batches_from
from qinstruct_trainer.train.batches.order import SampleOrder
from support.model.tiny import IMAGE_SIZE
from support.training.prepared_folder import write_prepared
from support.training.run_configs import run_config

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_prepared(tmp_path_factory.mktemp("prepared")).parent


def micro_batches(folder: Path, rank: int = 1) -> MicroBatches:
    """Steps of two forward passes: 2 ranks, 2 records a pass, 8 a step."""
    index = Index.open(folder / "index")
    config = run_config(folder / "prepared.json", folder / "run", micro_batch_size=2)
    order = SampleOrder.of(config, index.modality_lengths)
    return MicroBatches(index, order, rank, IMAGE_SIZE)


def test_each_step_has_its_forward_passes(folder: Path) -> None:
    dataset = micro_batches(folder)
    order = dataset.order
    assert isinstance(order, SampleOrder)
    assert [order.passes(step) for step in range(order.num_steps)] == [2] * order.num_steps
    assert dataset.records(2, 1) == order.micro_batch(step=2, forward=1, rank=1)
    assert dataset.records(2, 1) != micro_batches(folder, rank=0).records(2, 1)


def test_a_batch_holds_its_records_one_after_another(folder: Path) -> None:
    dataset = micro_batches(folder)
    examples = [dataset.index[number] for number in dataset.records(0, 0)]
    batch = dataset.batch(0, 0)
    assert batch.lengths == tuple(len(example.input_ids) for example in examples)
    for example, part in zip(
        examples, torch.split(batch.input_ids, list(batch.lengths)), strict=True
    ):
        assert part.tolist() == example.input_ids.tolist()


@pytest.mark.parametrize("step", [0, 13])
def test_the_loader_starts_at_any_step_and_keeps_the_order(folder: Path, step: int) -> None:
    dataset = micro_batches(folder)
    steps = range(step, dataset.order.num_steps)
    expected = [dataset.batch(number, forward) for number in steps for forward in range(2)]
    found = list(batches_from(dataset, step, CPU))
    assert len(found) == len(expected) == 2 * (dataset.order.num_steps - step)
    for batch, other in zip(found, expected, strict=True):
        _assert_equal(batch, other)


def test_a_broken_image_is_named_where_its_batch_is_due(tmp_path: Path) -> None:
    folder = write_prepared(tmp_path).parent
    dataset = micro_batches(folder)
    passes = [dataset.records(*divmod(n, 2)) for n in range(2 * dataset.order.num_steps)]
    image = next(found for first, *_ in passes[6:] if (found := dataset.index[first].image))
    image.write_bytes(b"not an image")
    first = next(n for n, records in enumerate(passes) if _shows(dataset, records, image))
    batches = batches_from(dataset, 0, CPU)
    for _ in range(first):
        next(batches)
    with pytest.raises(DataError, match=image.name):
        next(batches)


def test_closing_ends_the_threads(folder: Path) -> None:
    batches = batches_from(micro_batches(folder), 0, CPU)
    next(batches)
    assert _loader_threads()
    batches.close()
    assert not _loader_threads()


def _shows(dataset: MicroBatches, records: list[int], image: Path) -> bool:
    return any(dataset.index[record].image == image for record in records)


def _loader_threads() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name.startswith("loader")]


def _assert_equal(batch: Batch, other: Batch) -> None:
    torch.testing.assert_close(batch.input_ids, other.input_ids, rtol=0, atol=0)
    torch.testing.assert_close(batch.targets, other.targets, rtol=0, atol=0)
    torch.testing.assert_close(batch.pixel_values, other.pixel_values, rtol=0, atol=0)
