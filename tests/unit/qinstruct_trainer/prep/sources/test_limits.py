"""What a download may take."""

import time
from email.utils import formatdate

import pytest

from qinstruct_trainer.prep.sources.limits import EndlessError, Limits, Watch, asked_seconds


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("0", 0.0), ("17", 17.0), ("9" * 400, 1e9), ("", None), ("soon", None), ("-3", None)],
)
def test_seconds_that_a_server_asks_for(value: str, seconds: float | None) -> None:
    assert asked_seconds(value) == seconds


def test_a_date_that_a_server_asks_for() -> None:
    assert asked_seconds(formatdate(time.time() + 100, usegmt=True)) == pytest.approx(100, abs=5)
    assert asked_seconds(formatdate(0, usegmt=True)) == 0.0
    assert asked_seconds("Wed, 21 Oct 9998 07:28:00 GMT") == 1e9


def test_a_fast_download_goes_on_through_many_windows() -> None:
    watch = Watch(Limits(min_bytes_per_second=100, window_seconds=0.01))
    for _ in range(5):
        time.sleep(0.02)
        watch.add(1000)
        watch.check()
    time.sleep(0.02)
    with pytest.raises(EndlessError, match="only 0 bytes came"):
        watch.check()
