"""SIGTERM and SIGINT become a flag that the loop reads between steps."""

import signal
from types import FrameType


class StopRequest:
    """Set once a stop signal arrived. Create it in the main thread."""

    def __init__(self) -> None:
        self.requested = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._note)

    def _note(self, _number: int, _frame: FrameType | None) -> None:
        self.requested = True
