"""SIGTERM, SIGINT and SIGUSR2 become flags that the loop reads between steps."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR2)


class StopRequest:
    """Whether a stop signal has arrived; and whether one that asks for a checkpoint alone has."""

    def __init__(self) -> None:
        self.requested = False
        self.wants_save = False

    def handle(self, number: int, _frame: FrameType | None) -> None:
        """The signal handler."""
        if number == signal.SIGUSR2:
            self.wants_save = True
        else:
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
