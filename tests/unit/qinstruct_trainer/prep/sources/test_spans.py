"""Which bytes are there, and which are left."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qinstruct_trainer.prep.sources.spans import Segmentation, Span, merged, missing, num_bytes

TOTAL = 60
BORDERS = st.integers(0, TOTAL)
SPANS = st.lists(st.tuples(BORDERS, BORDERS).map(lambda pair: (min(pair), max(pair))), max_size=8)


def bytes_of(spans: list[Span] | tuple[Span, ...]) -> set[int]:
    return {at for start, end in spans for at in range(start, end)}


@given(SPANS)
def test_merged_spans_are_the_same_bytes_in_order(spans: list[Span]) -> None:
    found = merged(spans)
    assert bytes_of(found) == bytes_of(spans)
    assert num_bytes(found) == len(bytes_of(spans))
    borders = [border for span in found for border in span]
    assert borders == sorted(set(borders))  # ascending, none empty, none touching the next


@given(SPANS, st.integers(1, TOTAL + 5))
def test_what_is_missing_is_the_rest_by_segments(spans: list[Span], segment: int) -> None:
    rest = list(missing(spans, TOTAL, segment))
    assert bytes_of(rest) == set(range(TOTAL)) - bytes_of(spans)
    assert num_bytes(rest) == len(bytes_of(rest))
    assert all(start < end for start, end in rest)
    assert all(start // segment == (end - 1) // segment for start, end in rest)


@pytest.mark.parametrize(
    ("spans", "rest"),
    [
        ([], [(0, 4), (4, 8), (8, 10)]),
        ([(0, 10)], []),
        ([(0, 5), (6, 8)], [(5, 6), (8, 10)]),
    ],
)
def test_segments_of_ten_bytes(spans: list[Span], rest: list[Span]) -> None:
    assert list(missing(spans, 10, 4)) == rest


@pytest.mark.parametrize(
    ("came", "seconds", "connections", "wants"),
    [
        (0, 1, 1, True),
        (99_000_000, 1, 1, True),
        (100_000_000, 1, 1, False),
        (100_000_000, 1.1, 1, True),  # the step was longer than it should be
        (100_000_000, 1, 2, True),  # each of the two is slow
        (200_000_000, 1, 2, False),
        (0, 1, 4, False),
    ],
)
def test_another_connection_is_opened_while_each_is_slow(
    came: int, seconds: float, connections: int, wants: bool
) -> None:
    segmentation = Segmentation(connections=4, fast_bytes_per_second=100e6)
    assert segmentation.wants_another(came, seconds, connections) == wants
