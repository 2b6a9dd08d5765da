"""How much a download may take, of bytes and of time: a server may send without an end."""

import threading
import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

_LONGEST_SECONDS = 1e9  # of what a server may ask to wait; more digits are the same to us


class EndlessError(Exception):
    """A download is too slow, or takes too long; the text is a part of a sentence."""


@dataclass(frozen=True)
class Limits:
    """What a file's download may take.

    Attributes:
        max_bytes: Most bytes of the file; None: only the disk bounds it.
        networks: Which it may come from besides public addresses; None: from any.
        min_bytes_per_second: Least rate of each whole window, pauses between attempts included.
        window_seconds: Length of a window.
        total_seconds: Longest time until the file is whole.
    """

    max_bytes: int | None = None
    networks: tuple[str, ...] | None = None
    min_bytes_per_second: float = 1000.0
    window_seconds: float = 300.0
    total_seconds: float = 24 * 3600.0


class Watch:
    """The time and the rate of one download, over all of its attempts and connections."""

    def __init__(self, limits: Limits):
        self.limits = limits
        self._end = time.monotonic() + limits.total_seconds
        self._lock = threading.Lock()
        self._since, self._came = time.monotonic(), 0

    def seconds_left(self) -> float:
        """Until the whole download must have ended; never below 0."""
        return max(0.0, self._end - time.monotonic())

    def add(self, num_bytes: int) -> None:
        """Note bytes of the file that came."""
        with self._lock:
            self._came += num_bytes

    def check(self) -> None:
        """Prove that it may go on.

        Raises:
            EndlessError: it is too late, or too little came in the window that has ended.
        """
        if self.seconds_left() == 0.0:
            raise EndlessError(f"it is not whole after {self.limits.total_seconds:,g} s")
        with self._lock:
            self._check_rate()

    def _check_rate(self) -> None:
        seconds = time.monotonic() - self._since
        if seconds < self.limits.window_seconds:
            return
        if self._came < self.limits.min_bytes_per_second * seconds:
            raise EndlessError(
                f"only {self._came:,} bytes came in {seconds:,.0f} s, which is less than "
                f"{self.limits.min_bytes_per_second:,g} a second"
            )
        self._since, self._came = time.monotonic(), 0


def asked_seconds(value: str) -> float | None:
    """What a Retry-After asks for: seconds or a date (RFC 9110 10.2.3); None where it is neither.

    A server may write anything into it: years that no calendar has, and numbers without an end.
    """
    if value.isascii() and value.isdecimal():
        return min(float(value), _LONGEST_SECONDS)  # of very many digits: infinity
    try:
        seconds = parsedate_to_datetime(value).timestamp() - time.time()
    except (ValueError, OverflowError, TypeError, OSError):
        return None
    return min(max(0.0, seconds), _LONGEST_SECONDS)
