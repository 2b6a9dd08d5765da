"""What was heard of the API server lately, and the one log line of each trouble.

A trouble begins with the first failure of a request and ends with its next success, however
often it is tried meanwhile. Of several requests that fail for the same reason one is told: a
revoked token or a server that is away is one trouble. Needs a clock.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from qinstruct_operator.cluster.errors import ClusterError, Forbidden, UnknownKind
from qinstruct_operator.cluster.refusals import sentence

DEAF_SECONDS: Final = 60.0
"""Without a list or a watch of runs that succeeds for so long the operator is not healthy."""

_log = logging.getLogger(__name__)
_MAX_BACKOFF: Final = 5.0  # seconds: whatever heals is noticed soon, at four requests in five
_MAX_ASKED: Final = 30.0  # seconds; an hour, as some proxies say, would be deafness
_LONG: Final = 10.0  # seconds; of a trouble over sooner one line is enough


@dataclass
class _Trouble:
    since: float
    cause: str
    times: int = 0
    is_told: bool = False


class Hearing:
    """Remembers when the runs were heard of, and what fails at present."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._heard = clock()
        self._is_deaf = False
        self._troubles: dict[str, _Trouble] = {}

    @property
    def silent_seconds(self) -> float:
        """Since the last list or watch of runs that succeeded, or since the start."""
        return self._clock() - self._heard

    def is_deaf(self) -> bool:
        """Whether that is too long ago; the first time that it is, the log says so."""
        is_deaf = self.silent_seconds > DEAF_SECONDS
        if is_deaf and not self._is_deaf:
            _log.error(
                "no list and no watch of the runs has succeeded for %.0f s:"
                " the liveness endpoint fails until one does",
                self.silent_seconds,
            )
        self._is_deaf = is_deaf
        return is_deaf

    def succeeded(self, what: str, *, runs: bool) -> None:
        """A request has succeeded.

        Args:
            what: the request, e.g. `watch pods of all namespaces`.
            runs: whether it was about the runs.
        """
        if runs:
            self._heard = self._clock()
        trouble = self._troubles.pop(what, None)
        if trouble and trouble.is_told:
            seconds = self._clock() - trouble.since
            level = logging.INFO if seconds > _LONG else logging.DEBUG
            _log.log(level, "%s: works again after %.0f s", what, seconds)

    def failed(self, what: str, error: Exception) -> float:
        """A request has failed: the seconds to wait before the next.

        Args:
            what: as for `succeeded`.
            error: says why; a `ClusterError` may say how long the server wants to be left alone.
        """
        reason = str(error).removeprefix(f"{what}: ")
        cause = reason
        if isinstance(error, UnknownKind | Forbidden):  # of this kind, and not of the server
            cause = f"{what.partition(' ')[2]}: {reason}"
        trouble = self._troubles.setdefault(what, _Trouble(self._clock(), cause))
        if not any(one.is_told and one.cause == cause for one in self._troubles.values()):
            if not trouble.is_told:
                _log.warning("%s; tried again until it works", sentence(what, reason))
            trouble.is_told = True
        asked = (isinstance(error, ClusterError) and error.retry_after) or 0.0
        wait = min(2.0**trouble.times, _MAX_BACKOFF)
        trouble.times = min(trouble.times + 1, 10)
        return max(wait, min(asked, _MAX_ASKED))
