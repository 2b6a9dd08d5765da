"""What many connections may read together."""

import pytest

from qinstruct_trainer.prep.sources.bandwidth import Throttle, throttle_of


class Clock:
    """Time that passes in sleep alone."""

    def __init__(self) -> None:
        self.now = 1000.0

    def time(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.mark.parametrize("step", [1, 1000, 65536, 10**7])
def test_bytes_come_at_the_rate(step: int) -> None:
    clock = Clock()
    throttle = Throttle(1e6, clock.time, clock.sleep)
    for _ in range(max(2, 10**7 // step)):
        throttle.spend(step)
    assert clock.now - 1000 == pytest.approx(max(2, 10**7 // step) * step / 1e6)


def test_a_pause_is_not_made_up_for() -> None:
    clock = Clock()
    throttle = Throttle(1e6, clock.time, clock.sleep)
    clock.now += 3600
    throttle.spend(10**6)
    assert clock.now - 4600 == pytest.approx(0.8)  # a fifth of a second of it is


def test_connections_wait_for_each_other() -> None:
    """Each waits for its own bytes and those of all before it."""
    waits: list[float] = []
    throttle = Throttle(1e6, lambda: 0.0, waits.append)
    for _ in range(4):
        throttle.spend(10**6)
    assert waits == [1.0, 2.0, 3.0, 4.0]


def test_all_of_a_process_have_one_throttle() -> None:
    one = throttle_of({"QINSTRUCT_MAX_BANDWIDTH": "50M"})
    assert one is throttle_of({"QINSTRUCT_MAX_BANDWIDTH": "50000k"})
    assert one is not None
    assert throttle_of({}) is None
