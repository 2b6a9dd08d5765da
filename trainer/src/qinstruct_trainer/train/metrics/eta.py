"""The remaining time of a run (ETA), from the median of its recent steps."""

from collections import deque
from statistics import median

_WINDOW = 50  # recent steps: one slow step moves the median little


class StepTimes:
    """How long the recent steps took."""

    def __init__(self) -> None:
        self._seconds: deque[float] = deque(maxlen=_WINDOW)

    def add(self, seconds: float) -> None:
        """Note the duration of one more step."""
        self._seconds.append(seconds)

    def eta_seconds(self, remaining_steps: int) -> float:
        """Seconds until the last step is done; needs at least one step."""
        return median(self._seconds) * remaining_steps
