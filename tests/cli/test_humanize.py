"""Numbers as text."""

import pytest

from qinstruct_operator.cli.humanize import amount_text, duration_text, size_text


@pytest.mark.parametrize(
    ("num_bytes", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (76_500_000, "76.5 MB"),
        (10**18, "1000.0 PB"),
    ],
)
def test_sizes(num_bytes: int, text: str) -> None:
    assert size_text(num_bytes) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(-1, "0:00"), (7.4, "0:07"), (750, "12:30"), (11_100, "3:05:00")]
)
def test_durations(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text


@pytest.mark.parametrize(
    ("done", "total", "unit", "text"),
    [
        (1200, 5000, "records", "1,200 of 5,000 records"),
        (40, None, "files", "40 files"),
        (40, None, "bytes", "40 B"),
        (500, 1_000_000, "bytes", "500 B of 1.0 MB"),
    ],
)
def test_amounts(done: int, total: int | None, unit: str, text: str) -> None:
    assert amount_text(done, total, unit) == text
