"""The wait between attempts."""

import pytest

from qinstruct_trainer.prep.sources.retry import Retry


@pytest.mark.parametrize(
    ("failures", "asked", "seconds"),
    [
        (1, None, 1.0),
        (2, None, 2.0),
        (5, None, 16.0),
        (9, None, 60.0),
        (1, 17.0, 17.0),
        (1, 1e9, 60),
    ],
)
def test_the_wait_doubles_and_has_a_bound(
    failures: int, asked: float | None, seconds: float
) -> None:
    assert Retry().delay(failures, asked) == seconds
