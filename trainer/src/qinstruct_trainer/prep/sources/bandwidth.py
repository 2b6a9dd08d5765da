"""How fast all connections of this process together may read."""

import threading
import time
from collections.abc import Callable, Mapping
from functools import cache
from typing import Final

from qinstruct_trainer.environment import max_bandwidth

_SAVED_SECONDS: Final = 0.2
"""What was not used for longer is lost: it would come all at once."""


class Throttle:
    """Makes who has read wait until it may have read so much."""

    def __init__(
        self,
        bytes_per_second: float,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ):
        self._bytes_per_second, self._clock, self._sleep = bytes_per_second, clock, sleep
        self._lock = threading.Lock()
        self._due = clock()  # when all that was read until now may have come

    def spend(self, num_bytes: int) -> None:
        """Note bytes that came; returns when others may."""
        with self._lock:
            now = self._clock()
            begin = max(self._due, now - _SAVED_SECONDS)
            self._due = begin + num_bytes / self._bytes_per_second
            seconds = self._due - now
        if seconds > 0:
            self._sleep(seconds)


def throttle_of(env: Mapping[str, str]) -> Throttle | None:
    """The throttle that this process has for the environment's bound; None: it has no bound.

    Raises:
        ConfigError: the bound is none.
    """
    bound = max_bandwidth(env)
    return None if bound is None else _throttle(bound)


@cache
def _throttle(bytes_per_second: float) -> Throttle:
    return Throttle(bytes_per_second)
