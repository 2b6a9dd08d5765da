"""SIGTERM and SIGINT become a flag that the loop reads between steps."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class StopRequest:
    """Whether a stop signal has arrived."""

    def __init__(self) -> None:
        self.requested = False

    def handle(self, _number: int, _frame: FrameType | None) -> None:
        """The signal handler."""
        self.requested = True


@contextmanager
def catch_stop_signals() -> Iterator[StopRequest]:
    """Note stop signals instead of ending at once. For the main thread.

    Only the steps need it: before them nothing is lost, after them the last checkpoint is saved.
    """
    stop = StopRequest()
    before = {number: signal.signal(number, stop.handle) for number in _SIGNALS}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
