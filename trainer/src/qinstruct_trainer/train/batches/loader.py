"""The batches of one rank, from any step on, made in the background before they are used."""

from collections import deque
from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice

import torch

from qinstruct_trainer.data.collate import Batch, collate_pieces
from qinstruct_trainer.data.index.reader import Index
from qinstruct_trainer.data.pixel_store import PixelStore
from qinstruct_trainer.train.batches.order import SampleOrder
from qinstruct_trainer.train.batches.packed import PackedOrder

# The published runs use 4 workers a process. On CPUs the ranks compete for the same cores.
_GPU_THREADS = 4
_CPU_THREADS = 1
_AHEAD = 2  # batches per thread


@dataclass(frozen=True, eq=False)
class MicroBatches:
    """The batches of one rank, by step and forward pass, both from 0.

    Attributes:
        store: Has the images' pixels; without it they are decoded.
    """

    index: Index
    order: SampleOrder | PackedOrder
    rank: int
    image_size: int
    store: PixelStore | None = None

    def batch(self, step: int, forward: int) -> Batch:
        """What this rank computes in one forward pass.

        Raises:
            DataError: an image cannot be decoded.
        """
        share = self.order.share(step, forward, self.rank)
        pieces = [[self.index[i] for i in piece] for piece in share.pieces]
        return collate_pieces(pieces, share.divisors, self.image_size, self.store)

    def records(self, step: int, forward: int) -> list[int]:
        """Record numbers of one forward pass."""
        return self.order.share(step, forward, self.rank).records


def batches_from(dataset: MicroBatches, step: int, device: torch.device) -> Generator[Batch]:
    """The batches from `step` on, in order, on `device`; close it to stop the loading.

    Threads, not processes: a DataError arrives as it was raised, and a killed rank leaves no
    process behind.

    Raises:
        DataError: an image cannot be decoded.
    """
    on_gpu = device.type == "cuda"
    threads = _GPU_THREADS if on_gpu else _CPU_THREADS

    def load(step: int, forward: int) -> Batch:
        batch = dataset.batch(step, forward)
        return batch.pin_memory() if on_gpu else batch

    passes = (
        (number, forward)
        for number in range(step, dataset.order.num_steps)
        for forward in range(dataset.order.passes(number))
    )
    pending: deque[Future[Batch]] = deque()
    with ThreadPoolExecutor(threads, thread_name_prefix="loader") as pool:
        try:
            pending.extend(pool.submit(load, *each) for each in islice(passes, threads * _AHEAD))
            while pending:
                batch = pending.popleft().result()
                pending.extend(pool.submit(load, *each) for each in islice(passes, 1))
                yield batch.to(device)
        finally:
            for future in pending:
                future.cancel()
