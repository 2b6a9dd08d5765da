"""The order of the samples, equal to the published trainer's.

`ModalityLengthSampler` is `group_by_modality_length` of LLaVA-v1.5: batches of one modality, of
similar length, in random order; the rest of both modalities comes last. Randomness comes from one
generator only, so that all ranks that seed it alike draw the same order.
"""

import heapq
from collections.abc import Iterator, Sequence

import torch
from torch.utils.data import Sampler

from qinstruct_trainer.contract.errors import DataError


class ModalityLengthSampler(Sampler[int]):
    """Yields every index once, grouped by modality and length.

    Args:
        lengths: One per record: its length, positive with an image, negative without.
        batch_size: Samples per process and forward pass.
        world_size: Processes times gradient accumulation steps, as the published trainer says.
        generator: Where it stands decides the order; iterating again goes on from there.

    Raises:
        DataError: a length is 0, which belongs to no modality; names the record.
    """

    def __init__(
        self, lengths: Sequence[int], batch_size: int, world_size: int, generator: torch.Generator
    ):
        self._lengths = [int(length) for length in lengths]
        self._batch_size = batch_size
        self._world_size = world_size
        self._generator = generator
        if 0 in self._lengths:
            raise DataError(
                f"record {self._lengths.index(0)} has length 0, so that it can be in no group of "
                "similar ones; remove it from the label file"
            )

    def __len__(self) -> int:
        return len(self._lengths)

    def __iter__(self) -> Iterator[int]:
        with_image = [i for i, length in enumerate(self._lengths) if length > 0]
        text_only = [i for i, length in enumerate(self._lengths) if length < 0]
        if not with_image or not text_only:
            return iter(self._grouped(self._lengths))
        size = self._batch_size * self._world_size
        batches: list[list[int]] = []
        rest: list[int] = []
        for indices in (with_image, text_only):
            order = self._grouped([abs(self._lengths[i]) for i in indices])
            *full, last = _cut([indices[i] for i in order], size)
            batches += full
            rest += last
        order = random_order(len(batches), self._generator)
        return iter([i for number in order for i in batches[number]] + sorted(rest))

    def _grouped(self, lengths: Sequence[int]) -> list[int]:
        """Random megabatches; in each, the processes get about the same sum of lengths."""
        order = random_order(len(lengths), self._generator)
        return [
            i
            for megabatch in _cut(order, self._batch_size * self._world_size)
            for i in _balanced(
                sorted(megabatch, key=lengths.__getitem__, reverse=True), lengths, self._world_size
            )
        ]


def random_order(num: int, generator: torch.Generator) -> list[int]:
    """A permutation of `num` indices: the order of an ungrouped epoch."""
    return [int(i) for i in torch.randperm(num, generator=generator).tolist()]


def _cut(indices: list[int], size: int) -> list[list[int]]:
    return [indices[start : start + size] for start in range(0, len(indices), size)]


def _balanced(indices: list[int], lengths: Sequence[int], num_chunks: int) -> list[int]:
    """Chunks of equal count, one after the other: the next index goes to the shortest chunk.

    A megabatch that does not divide evenly is dealt out like cards instead.
    """
    if len(indices) % num_chunks:
        return [i for chunk in range(num_chunks) for i in indices[chunk::num_chunks]]
    share = len(indices) // num_chunks
    chunks: list[list[int]] = [[] for _ in range(num_chunks)]
    shortest = [(0, chunk) for chunk in range(num_chunks)]  # a heap; the lower number wins a tie
    for index in indices:
        length, chunk = heapq.heappop(shortest)
        chunks[chunk].append(index)
        if len(chunks[chunk]) < share:
            heapq.heappush(shortest, (length + lengths[index], chunk))
    return [i for chunk in chunks for i in chunk]
