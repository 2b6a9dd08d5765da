"""When the operator is deaf, how long it waits after failures, and what the log says of both."""

import logging

import pytest

from qinstruct_operator.cluster.errors import ClusterError, UnknownKind
from qinstruct_operator.hearing import DEAF_SECONDS, Hearing

RUNS = "watch qinstructtrainings of all namespaces"
PODS = "watch pods of all namespaces"


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_only_what_is_heard_of_the_runs_keeps_the_operator_healthy() -> None:
    clock = Clock()
    hearing = Hearing(clock)
    clock.now += DEAF_SECONDS
    assert not hearing.is_deaf()
    clock.now += 1
    hearing.succeeded(PODS, runs=False)
    assert hearing.is_deaf()
    assert hearing.silent_seconds == DEAF_SECONDS + 1
    hearing.succeeded(RUNS, runs=True)
    assert not hearing.is_deaf()


def test_deafness_is_told_once_each_time(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    hearing = Hearing(clock)
    for _ in range(2):
        clock.now += DEAF_SECONDS + 1
        assert hearing.is_deaf()
        assert hearing.is_deaf()
        hearing.succeeded(RUNS, runs=True)
        assert not hearing.is_deaf()
    assert [record.levelname for record in caplog.records] == ["ERROR", "ERROR"]
    assert "no list and no watch of the runs has succeeded for 61 s" in caplog.text


def test_the_wait_doubles_up_to_five_seconds_and_begins_anew_after_a_success() -> None:
    hearing = Hearing(Clock())
    error = ClusterError("no")
    assert [hearing.failed(RUNS, error) for _ in range(5)] == [1, 2, 4, 5, 5]
    assert hearing.failed(PODS, error) == 1
    hearing.succeeded(RUNS, runs=True)
    assert hearing.failed(RUNS, error) == 1


def test_the_wait_is_as_long_as_the_server_asks() -> None:
    hearing = Hearing(Clock())
    assert hearing.failed(RUNS, ClusterError("busy", retry_after=20)) == 20
    assert hearing.failed(RUNS, ClusterError("busy", retry_after=0.5)) == 2
    assert hearing.failed(RUNS, ClusterError("busy", retry_after=3600)) == 30


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [f"{one.levelname} {one.getMessage()}" for one in caplog.records]


def test_a_trouble_is_told_once_and_its_end_only_when_it_was_long(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    clock = Clock()
    hearing = Hearing(clock)
    for seconds in (5, 42):
        hearing.failed(RUNS, ClusterError(f"{RUNS}: HTTP 500"))
        clock.now += seconds
        hearing.failed(RUNS, ClusterError(f"{RUNS}: HTTP 503"))
        hearing.succeeded(RUNS, runs=True)
        hearing.succeeded(RUNS, runs=True)
    trouble = f"WARNING {RUNS}: HTTP 500; tried again until it works"
    assert told(caplog) == [trouble, trouble, f"INFO {RUNS}: works again after 42 s"]


def test_one_reason_is_told_once_for_all_requests_that_have_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    clock = Clock()
    hearing = Hearing(clock)
    hearing.failed(RUNS, ClusterError(f"{RUNS}: Unauthorized"))
    hearing.failed(PODS, ClusterError(f"{PODS}: Unauthorized"))
    assert len(told(caplog)) == 1
    clock.now += 60
    hearing.succeeded(RUNS, runs=True)
    hearing.failed(PODS, ClusterError(f"{PODS}: Unauthorized"))
    hearing.failed(PODS, ClusterError(f"{PODS}: Unauthorized"))
    assert told(caplog)[1:] == [
        f"INFO {RUNS}: works again after 60 s",
        f"WARNING {PODS}: Unauthorized; tried again until it works",
    ]


def test_one_reason_of_two_kinds_is_told_for_both(caplog: pytest.LogCaptureFixture) -> None:
    hearing = Hearing(Clock())
    for what in (RUNS, PODS):
        hearing.failed(what, UnknownKind(f"{what}: not installed", status=404))
    assert len(told(caplog)) == 2
