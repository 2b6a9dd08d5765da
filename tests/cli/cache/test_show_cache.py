"""What a verification shows on the way, and what a list says of a unit."""

import io

import pytest
from rich.console import Console

from qinstruct_operator.cli.cache.show_cache import VerifyProgress, show_listing
from qinstruct_trainer.contract.cache import CacheEntry, CacheListing
from qinstruct_trainer.contract.events import Verifying


def shown(*, terminal: bool) -> str:
    out = io.StringIO()
    progress = VerifyProgress(Console(file=out, force_terminal=terminal, width=100))
    for second in range(0, 41, 5):
        progress.show(
            Verifying(item="unit", done=second * 10**6, total=100 * 10**6, time=1000.0 + second)
        )
    progress.close()
    return out.getvalue()


def test_lines_with_the_time_left_every_ten_seconds() -> None:
    assert shown(terminal=False).splitlines() == [
        "verify: 0 B of 100.0 MB",
        "verify: 10.0 MB of 100.0 MB, ETA 1:30",
        "verify: 20.0 MB of 100.0 MB, ETA 1:20",
        "verify: 30.0 MB of 100.0 MB, ETA 1:10",
        "verify: 40.0 MB of 100.0 MB, ETA 1:00",
    ]


def test_a_bar_on_a_terminal() -> None:
    assert "40.0 MB of 100.0 MB" in shown(terminal=True)


@pytest.mark.parametrize(
    ("whole", "unverified", "said"),
    [(True, False, "whole"), (True, True, "copied, not verified"), (False, False, "DAMAGED")],
)
def test_the_state_of_a_unit(*, whole: bool, unverified: bool, said: str) -> None:
    entry = CacheEntry(
        kind="unit", name="a", num_bytes=1, made=0, used=0, whole=whole, unverified=unverified
    )
    out = io.StringIO()
    listing = CacheListing(root="/cache", entries=(entry,), num_bytes=1, free_bytes=1)
    show_listing(Console(file=out, width=200), listing, 1)
    words = {"whole", "copied, not verified", "DAMAGED"}
    assert {word for word in words if word in out.getvalue()} == {said}
