"""An event loop whose clock jumps to the next timer when nothing else is to be done."""

import asyncio
import selectors
from typing import Any


class _Jump(selectors.DefaultSelector):
    """Waits for nothing: what it would have waited is added to the loop's clock."""

    waited = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        ready: list[Any] = super().select(0)
        if not ready and timeout:
            self.waited += timeout
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """One that waits for no time to pass."""

    def __init__(self) -> None:
        self._jump = _Jump()
        super().__init__(self._jump)

    def time(self) -> float:
        return self._jump.waited
