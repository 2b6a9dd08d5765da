"""Which records are in step k, on which rank: a pure function of the seed and the epoch.

So the step alone says where in the data a run is, and a resume replays nothing.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import torch

from qinstruct_trainer.contract.batch import accumulation_steps, num_steps
from qinstruct_trainer.contract.config import RunConfig
from qinstruct_trainer.data.sampler import ModalityLengthSampler, random_order

Order = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class SampleOrder:
    """The order of a whole run.

    Attributes:
        lengths: [N] signed word counts; only their signs and order matter.
        grouped: The published mix order; otherwise a random permutation.
    """

    lengths: npt.NDArray[np.int32]
    grouped: bool
    seed: int
    epochs: int
    global_batch_size: int
    micro_batch_size: int
    world_size: int

    @classmethod
    def of(cls, config: RunConfig, lengths: npt.NDArray[np.int32]) -> "SampleOrder":
        """The order that a run's configuration asks for."""
        return cls(
            lengths=lengths,
            grouped=config.group_by_modality,
            seed=config.seed,
            epochs=config.epochs,
            global_batch_size=config.global_batch_size,
            micro_batch_size=config.micro_batch_size,
            world_size=config.world_size,
        )

    @property
    def num_steps(self) -> int:
        """Optimizer steps of all epochs."""
        return num_steps(len(self.lengths), self.global_batch_size, self.epochs)

    @property
    def accumulation(self) -> int:
        """Forward passes of a step."""
        return accumulation_steps(self.global_batch_size, self.micro_batch_size, self.world_size)

    def micro_batch(self, step: int, forward: int, rank: int) -> list[int]:
        """Record numbers of one forward pass of one rank.

        The epoch's order is cut into micro-batches, which go to the ranks in turn, as
        accelerate's BatchSamplerShard does. The last step of an epoch is filled up with
        the epoch's first records (even_batches).
        """
        epoch, step_of_epoch = divmod(step, self.num_steps // self.epochs)
        order = _epoch_order(self, epoch)
        number = (step_of_epoch * self.accumulation + forward) * self.world_size + rank
        first = number * self.micro_batch_size
        places = np.arange(first, first + self.micro_batch_size) % len(order)
        return [int(i) for i in order[places]]


@lru_cache(maxsize=2)
def _epoch_order(order: SampleOrder, epoch: int) -> Order:
    """All record numbers in the order of an epoch; two epochs meet where a loader looks ahead."""
    generator = torch.Generator().manual_seed(order.seed + epoch)
    if order.grouped:
        sampler = ModalityLengthSampler(
            order.lengths.tolist(),
            order.micro_batch_size,
            order.world_size * order.accumulation,
            generator,
        )
        return np.fromiter(sampler, np.int64, len(order.lengths))
    return np.array(random_order(len(order.lengths), generator), np.int64)
