"""When a download is tried again, and after which wait."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Retry:
    """How often to try again without any progress, and how long to wait in between."""

    attempts: int = 6
    first_seconds: float = 1.0
    max_seconds: float = 60.0

    def delay(self, failures: int, asked: float | None) -> float:
        """Seconds before the next attempt: doubling, or what the server asked for, bounded."""
        return min(asked or self.first_seconds * 2.0 ** (failures - 1), self.max_seconds)


class AttemptError(Exception):
    """An attempt failed in a way that another one may not; the text is a part of a sentence."""

    def __init__(self, reason: str, retry_after: float | None = None):
        super().__init__(reason)
        self.retry_after = retry_after
