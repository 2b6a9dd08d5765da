"""Whose time it is."""

from datetime import UTC, datetime, timedelta

import pytest

from qinstruct_operator.cluster.server_clock import ServerClock

OURS = datetime(2026, 3, 1, 12, 0, 0, 250_000, tzinfo=UTC)


@pytest.mark.parametrize(
    ("date", "seconds"),
    [
        ("Sun, 01 Mar 2026 13:00:00 GMT", 3599.75),
        ("Sun, 01 Mar 2026 11:00:00 GMT", -3600.25),
        ("Sun, 01 Mar 2026 14:00:00 +0100", 3599.75),
        ("Sun, 01 Mar 2026 13:00:00 -0000", 3599.75),
        ("Sun, 01 Mar 2026 12:00:04 GMT", 0),  # a slow answer, and whole seconds
        ("Sun, 01 Mar 2026 11:59:56 GMT", 0),
        ("Sun, 01 Mar 2026 12:00:06 GMT", 5.75),
        (None, 0),
        ("", 0),
        ("yesterday", 0),
        ("Sun, 99 Mar 2026 12:00:00 GMT", 0),
        ("Sun, 01 Mar 99999999999 12:00:00 GMT", 0),
    ],
)
def test_the_servers_clock_counts(date: str | None, seconds: float) -> None:
    clock = ServerClock(lambda: OURS)
    assert clock.now() == OURS
    clock.heard(date)
    assert clock.now() == OURS + timedelta(seconds=seconds)


def test_what_is_no_date_changes_nothing_and_a_clock_that_was_set_right_counts() -> None:
    clock = ServerClock(lambda: OURS)
    clock.heard("Sun, 01 Mar 2026 13:00:00 GMT")
    clock.heard("nonsense")
    assert clock.now() - OURS > timedelta(minutes=59)
    clock.heard("Sun, 01 Mar 2026 12:00:00 GMT")
    assert clock.now() == OURS
