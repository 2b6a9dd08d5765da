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
Numbers = npt.NDArray[np.int32]

_LOOKED_AT = 256  # images that may come earlier, to end a step with the last record of one


@dataclass(frozen=True, slots=True)
class Share:
    """What one rank computes in one forward pass.

    Attributes:
        pieces: Record numbers; those of one piece share their first tokens.
        divisors: Of each record in turn, the learnt tokens of its micro-batch in the order, whose
            mean is the loss; None where the pass is that micro-batch.
    """

    pieces: tuple[tuple[int, ...], ...]
    divisors: tuple[int, ...] | None = None

    @property
    def records(self) -> list[int]:
        """All record numbers, in turn."""
        return [record for piece in self.pieces for record in piece]


@dataclass(frozen=True, eq=False)
class SampleOrder:
    """The order of a whole run.

    Attributes:
        lengths: [N] signed word counts; only their signs and order matter.
        grouped: The published mix order; otherwise a random permutation.
        images: [N] the image of each record, negative where it has none to share. Where given,
            the records of an image follow each other.
    """

    lengths: Numbers
    grouped: bool
    seed: int
    epochs: int
    global_batch_size: int
    micro_batch_size: int
    world_size: int
    images: Numbers | None = None

    @classmethod
    def of(
        cls,
        config: RunConfig,
        lengths: Numbers,
        images: Numbers | None = None,
    ) -> "SampleOrder":
        """The order that a run's configuration asks for."""
        return cls(
            lengths=lengths,
            grouped=config.group_by_modality,
            seed=config.seed,
            epochs=config.epochs,
            global_batch_size=config.global_batch_size,
            micro_batch_size=config.micro_batch_size,
            world_size=config.world_size,
            images=images,
        )

    @property
    def num_steps(self) -> int:
        """Optimizer steps of all epochs."""
        return num_steps(len(self.lengths), self.global_batch_size, self.epochs)

    @property
    def accumulation(self) -> int:
        """Forward passes of a step."""
        return accumulation_steps(self.global_batch_size, self.micro_batch_size, self.world_size)

    def passes(self, step: int) -> int:
        """Forward passes of a step, from 0; here alike in all."""
        del step
        return self.accumulation

    def share(self, step: int, forward: int, rank: int) -> Share:
        """A micro-batch, each record for itself."""
        return Share(tuple((record,) for record in self.micro_batch(step, forward, rank)))

    def step_records(self, step: int) -> list[int]:
        """Record numbers of all micro-batches of a step, in the epoch's order."""
        return self._places(step * self.global_batch_size, self.global_batch_size)

    def micro_batch(self, step: int, forward: int, rank: int) -> list[int]:
        """Record numbers of one forward pass of one rank.

        The epoch's order is cut into micro-batches, which go to the ranks in turn, as
        accelerate's BatchSamplerShard does. The last step of an epoch is filled up with
        the epoch's first records (even_batches).
        """
        number = (step * self.accumulation + forward) * self.world_size + rank
        return self._places(number * self.micro_batch_size, self.micro_batch_size)

    def _places(self, first: int, count: int) -> list[int]:
        """The records at places of the run, in which an epoch has whole steps."""
        steps = self.num_steps // self.epochs
        epoch, first_of_epoch = divmod(first, steps * self.global_batch_size)
        order = _epoch_order(self, epoch)
        places = np.arange(first_of_epoch, first_of_epoch + count) % len(order)
        return [int(i) for i in order[places]]


@lru_cache(maxsize=2)
def _epoch_order(order: SampleOrder, epoch: int) -> Order:
    """All record numbers in the order of an epoch; two epochs meet where a loader looks ahead."""
    generator = torch.Generator().manual_seed(order.seed + epoch)
    if order.images is not None:
        return _image_by_image(order, order.images, generator)
    if order.grouped:
        sampler = ModalityLengthSampler(
            order.lengths.tolist(),
            order.micro_batch_size,
            order.world_size * order.accumulation,
            generator,
        )
        return np.fromiter(sampler, np.int64, len(order.lengths))
    return np.array(random_order(len(order.lengths), generator), np.int64)


def _image_by_image(order: SampleOrder, images: Numbers, generator: torch.Generator) -> Order:
    """Images in random order, each with all of its records.

    `grouped` is what it is in the published order: steps of one modality in random order, and
    what is left of both at the end.
    """
    numbers = np.arange(len(images))
    # A record that shares nothing is an image's only one.
    unit_of = np.unique(np.where(images < 0, -1 - numbers, images), return_inverse=True)[1]
    by_unit = np.argsort(unit_of, kind="stable")
    ends = np.cumsum(np.bincount(unit_of))
    signs = np.where(order.grouped & (order.lengths[by_unit[ends - 1]] < 0), -1, 1)
    full: list[Order] = []
    rest: list[Order] = []
    for sign in (1, -1):
        units = np.flatnonzero(signs == sign)
        if not len(units):
            continue
        shuffled = units[random_order(len(units), generator)]
        records = _whole_steps(shuffled, ends, order.global_batch_size)
        cut = len(records) - len(records) % order.global_batch_size
        full += list(by_unit[records[:cut]].reshape(-1, order.global_batch_size))
        rest.append(by_unit[records[cut:]])
    if order.grouped:
        full = [full[i] for i in random_order(len(full), generator)]
    return np.concatenate([*full, *rest])


def _whole_steps(units: Order, ends: Order, step: int) -> Order:
    """The places of the units' records, so that few units lie in two steps.

    A unit that would be cut changes places with the next one that just fits.
    """
    sizes = np.diff(ends, prepend=0)
    queue = units.tolist()
    size_of = sizes.tolist()
    room = step
    for place, unit in enumerate(queue):
        if size_of[unit] > room:
            for later in range(place + 1, min(place + _LOOKED_AT, len(queue))):
                if size_of[queue[later]] == room:
                    queue[place], queue[later] = queue[later], unit
                    break
        room = (room - size_of[queue[place]]) % step or step
    ordered = np.array(queue)
    counts = sizes[ordered]
    firsts = ends[ordered] - counts
    offsets = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    places: Order = np.repeat(firsts, counts) + offsets
    return places
