import pytest

from qinstruct_trainer.train.metrics.eta import StepTimes


@pytest.mark.parametrize(
    ("seconds", "remaining", "eta"),
    [([9.0], 3, 27.0), ([9.0, 1.0], 2, 10.0), ([9.0, 1.0, 1.0], 2, 2.0), ([9.0, 1.0, 1.0], 0, 0.0)],
    ids=["first step", "two steps", "the slow first step no longer counts", "done"],
)
def test_the_remaining_time_is_the_median_step_times_the_steps_left(
    seconds: list[float], remaining: int, eta: float
) -> None:
    times = StepTimes()
    for value in seconds:
        times.add(value)
    assert times.eta_seconds(remaining) == eta


def test_only_the_last_fifty_steps_count() -> None:
    times = StepTimes()
    for value in [100.0] * 200 + [1.0] * 50:
        times.add(value)
    assert times.eta_seconds(7) == 7.0


def test_asking_changes_nothing() -> None:
    times = StepTimes()
    times.add(2.0)
    assert [times.eta_seconds(5), times.eta_seconds(4), times.eta_seconds(5)] == [10.0, 8.0, 10.0]
