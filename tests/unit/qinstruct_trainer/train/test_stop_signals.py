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


def test_a_signal_that_asks_for_a_checkpoint_asks_for_no_stop() -> None:
    with catch_stop_signals() as stop:
        os.kill(os.getpid(), signal.SIGUSR2)
        assert (stop.wants_save, stop.requested) == (True, False)
        os.kill(os.getpid(), signal.SIGTERM)
        assert (stop.wants_save, stop.requested) == (True, True)


def test_the_handlers_of_before_are_back_even_after_an_error() -> None:
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR2)
    before = [signal.getsignal(number) for number in numbers]
    with pytest.raises(ValueError, match="a step failed"), catch_stop_signals():
        raise ValueError("a step failed")
    assert [signal.getsignal(number) for number in numbers] == before
