import signal

import pytest

from qinstruct_trainer.contract import errors
from qinstruct_trainer.supervisor.decide import TRANSIENT, is_retried, wait_seconds

CODES = {name: value for name, value in vars(errors).items() if name.startswith("EXIT_")}
RETRIED = {
    "EXIT_GPU": True,
    "EXIT_PEER_LOST": True,
    "EXIT_STALLED": True,
    "EXIT_OK": False,
    "EXIT_DATA": False,
    "EXIT_UNAVAILABLE": False,
    "EXIT_SOFTWARE": False,
    "EXIT_STORAGE": False,
    "EXIT_STOPPED": False,
    "EXIT_CONFIG": False,
}
SIGNALS = {
    signal.SIGKILL: True,
    signal.SIGABRT: True,
    signal.SIGBUS: True,
    signal.SIGSEGV: True,
    signal.SIGTERM: False,
    signal.SIGINT: False,
    signal.SIGHUP: False,
    signal.SIGQUIT: False,
    signal.SIGXCPU: False,
}


def test_each_exit_code_has_its_row() -> None:
    assert set(CODES) == set(RETRIED)


@pytest.mark.parametrize("name", RETRIED)
def test_exit_codes_of_ours(name: str) -> None:
    assert is_retried(CODES[name], 0, 1) == RETRIED[name]


@pytest.mark.parametrize("number", SIGNALS)
def test_signals(number: signal.Signals) -> None:
    assert is_retried(128 + number, 0, 1) == SIGNALS[number]


@pytest.mark.parametrize(("code", "retried"), [(1, True), (2, False), (3, False), (127, False)])
def test_other_exit_codes(code: int, retried: bool) -> None:
    assert is_retried(code, 0, 1) == retried


@pytest.mark.parametrize("code", sorted(TRANSIENT))
def test_what_is_used_up_is_over(code: int) -> None:
    assert [is_retried(code, used, 2) for used in range(4)] == [True, True, False, False]
    assert not is_retried(code, 0, 0)


def test_the_wait_doubles_up_to_a_minute() -> None:
    assert [wait_seconds(retry) for retry in (1, 2, 3, 4, 5, 100)] == [5, 10, 20, 40, 60, 60]
