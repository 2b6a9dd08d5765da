from qinstruct_trainer.contract.restarts import Restarts
from qinstruct_trainer.train.metrics.lost_time import LostTime


def test_a_first_try_has_lost_nothing() -> None:
    lost = LostTime(None)
    assert (lost.count, lost.seconds(1, 5.0)) == (None, None)


def test_the_time_is_lost_until_the_first_step_that_is_new() -> None:
    lost = LostTime(Restarts(count=1, failed_at=100.0, step=7))
    assert lost.count == 1
    assert [lost.seconds(step, 110.0 + step) for step in (6, 7, 8, 9)] == [None, None, 18.0, 18.0]


def test_it_is_added_to_what_was_lost_before() -> None:
    lost = LostTime(Restarts(count=2, failed_at=100.0, step=7, lost_seconds=30.0))
    assert [lost.seconds(step, 120.0) for step in (7, 8)] == [30.0, 50.0]


def test_a_clock_that_goes_back_gains_nothing() -> None:
    assert LostTime(Restarts(count=1, failed_at=100.0, step=0)).seconds(1, 50.0) == 0.0
