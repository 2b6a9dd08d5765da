"""The wait between attempts."""

import pytest

from qinstruct_trainer.prep.sources.retry import Retry, Stalls


@pytest.mark.parametrize(
    ("failures", "asked", "shortest", "longest"),
    [
        (1, None, 0.5, 1.0),
        (2, None, 1.0, 2.0),
        (5, None, 8.0, 16.0),
        (9, None, 30.0, 60.0),
        (10**6, None, 30.0, 60.0),
        (1, 17.0, 17.0, 18.0),
        (1, 1e9, 60.0, 60.0),
        (1, 0.0, 0.5, 1.0),
    ],
)
def test_the_wait_doubles_has_a_bound_and_a_part_by_chance(
    failures: int, asked: float | None, shortest: float, longest: float
) -> None:
    assert Retry(chance=lambda: 0.0).delay(failures, asked) == shortest
    assert Retry(chance=lambda: 1.0).delay(failures, asked) == longest


def test_two_connections_do_not_come_back_at_once() -> None:
    assert len({Retry().delay(3, None) for _ in range(20)}) > 1


def test_progress_sets_the_count_back() -> None:
    have = 10
    stalls = Stalls(lambda: have)
    assert [stalls.count(), stalls.count()] == [1, 2]
    have = 5  # less than there was once is none
    assert stalls.count() == 3
    have = 11
    assert [stalls.count(), stalls.count()] == [1, 2]
