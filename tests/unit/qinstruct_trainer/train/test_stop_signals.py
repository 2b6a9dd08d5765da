import os
import signal

import pytest

from qinstruct_trainer.train.stop_signals import catch_stop_signals


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_signal_becomes_a_flag(number: signal.Signals) -> None:
    with catch_stop_signals() as stop:
        before = stop.requested
        os.kill(os.getpid(), number)
        assert (before, stop.requested) == (False, True)


def test_the_handlers_of_before_are_back_even_after_an_error() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    with pytest.raises(ValueError, match="a step failed"), catch_stop_signals():
        raise ValueError("a step failed")
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == before
