"""Attempts: which one is due or under way. Pure."""

from qinstruct_operator.api.status import Status


def present_attempt(status: Status) -> int:
    """The attempt that is due or under way; the first is 1."""
    return max(status.attempt or 1, 1)
