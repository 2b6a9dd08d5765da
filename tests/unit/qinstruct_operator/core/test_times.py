"""Times: written in UTC, read in any zone, and what is no time is None."""

import time
from datetime import UTC, datetime, timedelta, timezone

import pytest

from qinstruct_operator.core.times import CLOCKS, parse_time, past_time, time_text

NOON = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


def test_what_is_written_is_read_again() -> None:
    assert time_text(NOON) == "2026-03-01T12:00:00Z"
    assert parse_time(time_text(NOON)) == NOON
    first = datetime(1, 1, 1, tzinfo=UTC)
    assert time_text(first) == "0001-01-01T00:00:00Z"


def test_zones_and_fractions() -> None:
    berlin = NOON.astimezone(timezone(timedelta(hours=1)))
    assert time_text(berlin + timedelta(microseconds=999_999)) == "2026-03-01T12:00:00Z"
    assert parse_time("2026-03-01T13:00:00+01:00") == NOON
    assert parse_time("2026-03-01T12:00:00") == NOON


def test_the_zone_of_this_machine_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "JST-9")
        time.tzset()
        assert time_text(NOON) == "2026-03-01T12:00:00Z"
    time.tzset()


@pytest.mark.parametrize(
    "text",
    ["", "yesterday", "2026-13-01T00:00:00Z", "2026-03-01T99:00:00Z", "0001-01-01T00:00:00+23:59"],
)
def test_what_is_no_time(text: str) -> None:
    assert parse_time(text) is None


def test_a_time_that_is_still_to_come_is_none() -> None:
    """But for what clocks may differ by."""
    for late, want in ((-CLOCKS, True), (CLOCKS, True), (CLOCKS + timedelta(seconds=1), False)):
        assert (past_time(time_text(NOON + late), NOON) is not None) == want
    assert past_time("9999-12-31T23:59:59Z", NOON) is None
    assert past_time("yesterday", NOON) is None
