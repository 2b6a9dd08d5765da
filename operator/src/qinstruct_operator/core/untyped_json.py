"""Lenient reads of untrusted JSON: missing or of another type is None or empty. Pure."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from qinstruct_operator.core.times import parse_time

Raw = Mapping[str, Any]
"""An object of the cluster as JSON."""


def at(raw: Any, *path: str) -> Any:
    """The value at a path, or None."""
    value: Any = raw
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def text(raw: Any, *path: str) -> str:
    """The text at a path, or an empty one."""
    value = at(raw, *path)
    return value if isinstance(value, str) else ""


def number(raw: Any, *path: str) -> int | None:
    """The whole number at a path that fits 32 bits, or None."""
    value = at(raw, *path)
    return value if type(value) is int and abs(value) < 2**31 else None  # True is an int, too


def objects(raw: Any, *path: str) -> list[Raw]:
    """The objects in the list at a path."""
    value = at(raw, *path)
    return [each for each in value if isinstance(each, Mapping)] if isinstance(value, list) else []


def conditions_of(raw: Raw) -> dict[str, Raw]:
    """The conditions in an object's status, by type."""
    return {text(each, "type"): each for each in objects(raw, "status", "conditions")}


def is_controlled_by(raw: Raw, uid: str) -> bool:
    """Whether the object's controller has that uid."""
    owners = objects(raw, "metadata", "ownerReferences")
    return any(owner.get("controller") and owner.get("uid") == uid for owner in owners)


def last_write(raw: Raw) -> datetime | None:
    """When anybody last changed an object, by the API server's clock; None: it does not say."""
    times = (parse_time(text(each, "time")) for each in objects(raw, "metadata", "managedFields"))
    return max((moment for moment in times if moment), default=None)


def last_seen(event: Raw) -> str:
    """When a core/v1 Event happened last, as written there; sorts by time."""
    return (
        text(event, "lastTimestamp")
        or text(event, "eventTime")
        or text(event, "metadata", "creationTimestamp")
    )
