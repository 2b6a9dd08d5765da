"""Batches of one rank, from any step on, decoded ahead of their use."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch.utils.data import DataLoader, Dataset

from qinstruct_trainer.data import Batch, Index, collate
from qinstruct_trainer.train.order import SampleOrder

# The published runs use 4 workers a process. On CPUs the ranks compete for the same cores.
_GPU_WORKERS = 4


@dataclass(frozen=True, eq=False)
class MicroBatches(Dataset[Batch]):
    """Item n is the n-th forward pass of a rank, counted over the whole run."""

    index: Index
    order: SampleOrder
    rank: int
    image_size: int

    def __len__(self) -> int:
        return self.order.num_steps * self.order.accumulation

    def __getitem__(self, number: int) -> Batch:
        step, forward = divmod(number, self.order.accumulation)
        records = self.order.micro_batch(step, forward, self.rank)
        return collate(
            [self.index[i] for i in records], self.index.meta.pad_token_id, self.image_size
        )


def batches_from(dataset: MicroBatches, step: int, device: torch.device) -> Iterator[Batch]:
    """Forward passes from `step` on, in order, on `device`."""
    on_gpu = device.type == "cuda"
    # With batch_size None the loader's dataset items are the batches.
    loader: DataLoader[Batch] = DataLoader(
        dataset,
        batch_size=None,
        sampler=range(step * dataset.order.accumulation, len(dataset)),
        num_workers=_GPU_WORKERS if on_gpu else 0,
        pin_memory=on_gpu,
        collate_fn=_identity,
    )
    for batch in loader:
        yield batch.to(device)


def _identity(batch: Batch) -> Batch:
    """torch's default would turn the fields into tensors that they already are."""
    return batch
