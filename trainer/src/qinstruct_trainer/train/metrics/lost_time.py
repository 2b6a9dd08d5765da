"""What restarts in place have cost: from each failure to the first step that is new."""

from dataclasses import dataclass, field

from qinstruct_trainer.contract.restarts import Restarts


@dataclass
class LostTime:
    """Counts on where the tries before this one have stopped.

    Args:
        restarts: Of this try; None in the first one.
    """

    restarts: Restarts | None
    _total: float | None = field(default=None, init=False)

    @property
    def count(self) -> int | None:
        """How often the ranks were started again; None: never."""
        return self.restarts.count if self.restarts else None

    def seconds(self, step: int, now: float) -> float | None:
        """Seconds lost until now, as far as they are known; None: none yet.

        Args:
            step: The step that has just been taken.
            now: Unix time.
        """
        if self.restarts is None:
            return None
        if self._total is None and step > self.restarts.step:
            lost = max(0.0, now - self.restarts.failed_at)
            self._total = round(self.restarts.lost_seconds + lost, 1)
        return self._total if self._total is not None else self.restarts.lost_seconds or None
