"""Times as the API writes and reads them: RFC 3339 in UTC. Pure."""

from datetime import UTC, datetime, timedelta
from typing import Final

CLOCKS: Final = timedelta(minutes=5)
"""By how much the clocks of a cluster may differ."""


def time_text(moment: datetime) -> str:
    """The moment in UTC, in whole seconds."""
    # Not strftime, which writes the year 1, as a person may type it, with one digit.
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="seconds") + "Z"


def parse_time(text: str) -> datetime | None:
    """Parse a time, as UTC where it names no zone; None where it is not a time."""
    try:
        moment = datetime.fromisoformat(text)
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None


def past_time(text: str, now: datetime) -> datetime | None:
    """The same of a time that was; None where it is still to come, e.g. typed by somebody."""
    moment = parse_time(text)
    return None if moment is None or moment - now > CLOCKS else moment
