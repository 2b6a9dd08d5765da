"""Whether ranks that have failed are started again in the same place, and when. Pure."""

import signal
from typing import Final

from qinstruct_trainer.contract.errors import EXIT_GPU, EXIT_PEER_LOST, EXIT_STALLED

_UNEXPLAINED: Final = 1  # a rank or the launcher ended by an exception that nobody has caught
_SIGNALS: Final = (signal.SIGKILL, signal.SIGABRT, signal.SIGBUS, signal.SIGSEGV)
TRANSIENT: Final = frozenset(
    {
        *(EXIT_GPU, EXIT_PEER_LOST, EXIT_STALLED, _UNEXPLAINED),
        *(128 + number for number in _SIGNALS),
    }
)
"""Exit codes that another try may be spared of. All others say what must be changed first, or
that somebody asked for the end."""

_FIRST_WAIT: Final = 5.0  # seconds; a driver needs some to give back what a dead process held
_LONGEST_WAIT: Final = 60.0


def is_retried(code: int, used: int, allowed: int) -> bool:
    """Whether the ranks are started again.

    Args:
        code: exit code of the try.
        used: retries so far.
        allowed: retries that there may be.
    """
    return code in TRANSIENT and used < allowed


def wait_seconds(retry: int) -> float:
    """How long to wait before retry 1, 2, ...: a little at first, twice as long each time."""
    return min(_FIRST_WAIT * 2.0 ** min(retry - 1, 10), _LONGEST_WAIT)
