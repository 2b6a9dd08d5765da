"""When a download is tried again, and after which wait."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

LASTING_ATTEMPTS: Final = 2
"""At what does not heal."""
_MAX_DOUBLINGS: Final = 30


@dataclass(frozen=True)
class Retry:
    """How often to try again without any progress, and how long to wait in between.

    Attributes:
        attempts: In a row, without progress.
        first_seconds: The longest wait before the second of them.
        max_seconds: The longest wait of all.
        chance: A number from 0 up to 1, so that many connections do not come back at once.
    """

    attempts: int = 6
    first_seconds: float = 1.0
    max_seconds: float = 60.0
    chance: Callable[[], float] = random.random

    def delay(self, failures: int, asked: float | None) -> float:
        """Seconds before the next attempt: what the server asked for, and a little more by chance.

        Where it asked for nothing: of a time that doubles, one half and of the other a part by
        chance. Bounded in any case.
        """
        if asked:
            return min(asked + self.first_seconds * self.chance(), self.max_seconds)
        longest = self.first_seconds * 2.0 ** min(failures - 1, _MAX_DOUBLINGS)
        return min(longest, self.max_seconds) * (1 + self.chance()) / 2


class AttemptError(Exception):
    """An attempt failed in a way that another one may not; the text is a part of a sentence.

    Attributes:
        retry_after: The wait in seconds that the server asks for.
        is_lasting: Whether the next one is the last, as it will hardly end otherwise. There is one,
            because the connection may have been spoiled by the request before.
    """

    def __init__(self, reason: str, retry_after: float | None = None, *, is_lasting: bool = False):
        super().__init__(reason)
        self.retry_after = retry_after
        self.is_lasting = is_lasting


class Stalls:
    """Counts attempts that brought nothing, since the last one that did."""

    def __init__(self, have: Callable[[], int]):
        self._have, self._furthest, self._count = have, have(), 0

    def count(self) -> int:
        """After another attempt that failed: which one in a row it is, from 1."""
        have = self._have()
        self._count = 1 if have > self._furthest else self._count + 1
        self._furthest = max(self._furthest, have)
        return self._count
