"""The API server's clock, as its answers show it. Needs a clock.

The objects of a run are stamped by the server and by what stands beside it. How long ago that was
must not be told by the clock of whatever node the operator is on.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Final

_AGREE: Final = timedelta(seconds=5)  # a date has whole seconds, and an answer takes some time


def _own_now() -> datetime:
    return datetime.now(UTC)


class ServerClock:
    """Tells the server's time; our own until a server with another one has answered."""

    def __init__(self, own: Callable[[], datetime] = _own_now) -> None:
        self._own = own
        self._ahead = timedelta()

    def heard(self, date: str | None) -> None:
        """An answer has come with this `Date`; without one, or a broken one, nothing changes."""
        try:
            shown = parsedate_to_datetime(date or "")
        except (ValueError, OverflowError):
            return
        # Without a time zone (`-0000`) it is UTC as well.
        ahead = shown.replace(tzinfo=shown.tzinfo or UTC) - self._own()
        self._ahead = ahead if abs(ahead) > _AGREE else timedelta()

    def now(self) -> datetime:
        """The server's time."""
        return self._own() + self._ahead
