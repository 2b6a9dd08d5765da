"""The rows of a run whose records share them: the published micro-batches, computed elsewhere.

The order decides what a token counts for: it divides a step into micro-batches, and the loss is the
mean of their means over learnt tokens. Where a record is computed, and beside which others, is then
free: `layout` makes rows of equal work for all ranks, and each token takes its divisor along.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from qinstruct_trainer.contract.config import RunConfig
from qinstruct_trainer.contract.errors import ConfigError
from qinstruct_trainer.data.index.reader import Index
from qinstruct_trainer.train.batches.layout import Piece, Row, lay_out
from qinstruct_trainer.train.batches.order import Numbers, SampleOrder, Share


@dataclass(frozen=True, eq=False)
class PackedOrder:
    """The order of a whole run, and the rows that its records are computed in.

    Attributes:
        order: Which records a step has, and their micro-batches.
        lengths: [N] tokens of each record.
        learnt: [N] tokens of each record that are learnt.
        images: [N] records with the same number share their first tokens; negative: it shares none.
        shared: [N] how many those are at least.
        budget: Most tokens of a row.
    """

    order: SampleOrder
    lengths: Numbers
    learnt: npt.NDArray[np.int64]
    images: Numbers
    shared: Numbers
    budget: int

    @classmethod
    def of(cls, config: RunConfig, index: Index) -> "PackedOrder":
        """The order of a run with `packing` sequence or prefix.

        A row is at most what the largest micro-batch would be, which is planned to fit.

        Raises:
            ConfigError: the attention kernel cannot share a prefix.
        """
        if config.packing == "prefix":
            if config.attention != "sdpa":
                raise ConfigError(
                    f"training.attention {config.attention} cannot share a prefix, which "
                    "training.packing prefix asks for; use sdpa, or another packing"
                )
            images, shared = _shared_prefixes(index)
            order = SampleOrder.of(config, index.modality_lengths, images)
        else:
            images, shared = np.full(len(index), -1, np.int32), np.zeros(len(index), np.int32)
            order = SampleOrder.of(config, index.modality_lengths)
        budget = config.micro_batch_size * index.meta.max_length
        return cls(order, index.lengths, index.learnt_counts(), images, shared, budget)

    @property
    def num_steps(self) -> int:
        """Optimizer steps of all epochs."""
        return self.order.num_steps

    @property
    def accumulation(self) -> int:
        """What the losses of a rank's passes are divided by: its micro-batches of a step."""
        return self.order.accumulation

    def passes(self, step: int) -> int:
        """Forward passes of a step, alike on all ranks."""
        return len(_rows(self, step)) // self.order.world_size

    def share(self, step: int, forward: int, rank: int) -> Share:
        """What a rank computes in one forward pass."""
        return _rows(self, step)[forward * self.order.world_size + rank]


def order_of(config: RunConfig, index: Index) -> SampleOrder | PackedOrder:
    """Which records each rank computes in each pass of a run."""
    if config.packing == "none":
        return SampleOrder.of(config, index.modality_lengths)
    return PackedOrder.of(config, index)


@lru_cache(maxsize=16)
def _rows(packed: PackedOrder, step: int) -> tuple[Share, ...]:
    """The rows of all ranks in a step; those that a loader looks ahead at are kept."""
    order = packed.order
    records = np.array(order.step_records(step))
    micro_batches = packed.learnt[records].reshape(-1, order.micro_batch_size).sum(axis=1)
    divisors = np.repeat(micro_batches, order.micro_batch_size).tolist()
    numbers = records.tolist()
    rows = lay_out(_pieces(packed, records), order.world_size, packed.budget)
    return tuple(
        Share(
            pieces=tuple(tuple(numbers[slot] for slot, _ in piece.records) for piece in row),
            divisors=tuple(divisors[slot] for piece in row for slot, _ in piece.records),
        )
        for row in rows
    )


def _pieces(packed: PackedOrder, records: npt.NDArray[np.int64]) -> Row:
    """The records of a step by their images; a piece's numbers are their places in the step."""
    images = packed.images[records].tolist()
    shared = packed.shared[records].tolist()
    own = (packed.lengths[records] - packed.shared[records]).tolist()
    found: dict[int, list[int]] = {}
    for slot, image in enumerate(images):
        found.setdefault(image if image >= 0 else -1 - slot, []).append(slot)
    return [
        Piece(image, shared[slots[0]], tuple((slot, own[slot]) for slot in slots))
        for image, slots in found.items()
    ]


def _shared_prefixes(index: Index) -> tuple[Numbers, Numbers]:
    """The image and the prefix of the records that can share one: [N] and [N], -1 and 0 of others.

    The prefix ends with the image. It is the same wherever the image stands in the first turn,
    which is the first place that it can have: before it there is only what all records begin with.
    """
    places = index.first_image_places()
    shown = places >= 0
    first = places[shown].min() if shown.any() else 0
    prefix = first + index.meta.num_image_tokens
    shares = shown & (places == first) & (index.lengths > prefix)
    images = np.where(shares, index.images, -1).astype(np.int32)
    return images, np.where(shares, prefix, 0).astype(np.int32)
