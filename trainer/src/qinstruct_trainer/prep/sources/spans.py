"""Which bytes of a file are there, and which segments are left to fetch, and by how many. Pure."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

Span = tuple[int, int]
"""The bytes from the first number up to, and without, the second."""


@dataclass(frozen=True)
class Segmentation:
    """How a large file is divided.

    Attributes:
        min_bytes: Of a file; a smaller one is not divided.
        segment_bytes: Of each segment, but the last.
        connections: How many segments are fetched at once, at most.
        step_seconds: Between one more connection and the next.
        fast_bytes_per_second: Of each connection; where they bring as much, there is no other.
    """

    min_bytes: int = 64 << 20
    segment_bytes: int = 32 << 20
    connections: int = 4
    step_seconds: float = 1.0
    fast_bytes_per_second: float = 100e6

    def wants_another(self, came: int, seconds: float, connections: int) -> bool:
        """Whether there should be one more: servers often bound what each connection gets.

        Where they do not, one brings as much as four and takes less of the CPU's time.

        Args:
            came: Bytes that all connections brought together.
            seconds: In which they did.
            connections: How many there are.
        """
        is_slow = came < self.fast_bytes_per_second * seconds * connections
        return is_slow and connections < self.connections


SEGMENTATION: Final = Segmentation()


def merged(spans: Iterable[Span]) -> tuple[Span, ...]:
    """The same bytes, ascending, in as few spans as can be."""
    found: list[Span] = []
    for start, end in sorted(spans):
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        elif start < end:
            found.append((start, end))
    return tuple(found)


def missing(spans: Sequence[Span], total: int, segment_bytes: int) -> Iterator[Span]:
    """What is not there of a file of `total` bytes: each a part of one segment."""
    at = 0
    for start, end in (*merged(spans), (total, total)):
        while at < start:
            border = min(start, at - at % segment_bytes + segment_bytes)
            yield at, border
            at = border
        at = max(at, end)


def num_bytes(spans: Iterable[Span]) -> int:
    """How many bytes the spans have, which do not overlap."""
    return sum(end - start for start, end in spans)
