"""Times as the API writes and reads them: RFC 3339 in UTC. Pure."""

from datetime import UTC, datetime


def time_text(moment: datetime) -> str:
    """The moment in UTC, in whole seconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_time(text: str) -> datetime | None:
    """Parse a time, as UTC where it names no zone; None where it is not a time."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
