"""The batches of one rank, from any step on, made in the background before they are used."""

from collections import deque
from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice

import torch

from qinstruct_trainer.data.collate import Batch, collate
from qinstruct_trainer.data.index.reader import Index
from qinstruct_trainer.data.pixel_store import PixelStore
from qinstruct_trainer.train.batches.order import SampleOrder

# The published runs use 4 workers a process. On CPUs the ranks compete for the same cores.
_GPU_THREADS = 4
_CPU_THREADS = 1
_AHEAD = 2  # batches per thread


@dataclass(frozen=True, eq=False)
class MicroBatches:
    """The batches of one rank: item n is that of its n-th forward pass of the whole run.

    Attributes:
        store: Has the images' pixels; without it they are decoded.
    """

    index: Index
    order: SampleOrder
    rank: int
    image_size: int
    store: PixelStore | None = None

    def __len__(self) -> int:
        return self.order.num_steps * self.order.accumulation

    def __getitem__(self, number: int) -> Batch:
        examples = [self.index[i] for i in self.records(number)]
        return collate(examples, self.image_size, self.store)

    def records(self, number: int) -> list[int]:
        """Record numbers of the n-th forward pass."""
        step, forward = divmod(number, self.order.accumulation)
        return self.order.micro_batch(step, forward, self.rank)


def batches_from(dataset: MicroBatches, step: int, device: torch.device) -> Generator[Batch]:
    """The batches from `step` on, in order, on `device`; close it to stop the loading.

    Threads, not processes: a DataError arrives as it was raised, and a killed rank leaves no
    process behind.

    Raises:
        DataError: an image cannot be decoded.
    """
    on_gpu = device.type == "cuda"
    threads = _GPU_THREADS if on_gpu else _CPU_THREADS

    def load(number: int) -> Batch:
        batch = dataset[number]
        return batch.pin_memory() if on_gpu else batch

    numbers = iter(range(step * dataset.order.accumulation, len(dataset)))
    pending: deque[Future[Batch]] = deque()
    with ThreadPoolExecutor(threads, thread_name_prefix="loader") as pool:
        try:
            pending.extend(pool.submit(load, n) for n in islice(numbers, threads * _AHEAD))
            while pending:
                batch = pending.popleft().result()
                pending.extend(pool.submit(load, n) for n in islice(numbers, 1))
                yield batch.to(device)
        finally:
            for future in pending:
                future.cancel()
