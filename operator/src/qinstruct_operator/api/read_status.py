"""Read a stored status: every part that this version understands, and the names of the others.

Another version or a person may have written it. One bad field must not cost the rest: a run that
is Complete would be taken for a new one.
"""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from qinstruct_operator.api.status import Status


def read_status(document: Mapping[str, Any]) -> tuple[Status, tuple[str, ...]]:
    """The readable part of an object's status, and the unreadable fields, e.g. `status.training`.

    The names are as they were stored: they may hold any character.
    """
    raw = document.get("status")
    if not isinstance(raw, Mapping):
        return Status(), ("status",) if raw else ()
    readable: dict[str, Any] = {}
    unreadable: list[str] = []
    for key, value in raw.items():
        kept = _readable_conditions(value) if key == "conditions" else value
        if _is_readable({key: kept}):
            readable[key] = kept
        if kept is not value or key not in readable:
            unreadable.append(f"status.{key}")
    return Status.model_validate(readable), tuple(unreadable)


def _readable_conditions(value: object) -> object:
    """The list without its unreadable elements; the same object when all can be read."""
    if not isinstance(value, list):
        return value
    kept = [each for each in value if _is_readable({"conditions": [each]})]
    return value if len(kept) == len(value) else kept


def _is_readable(raw: Mapping[str, Any]) -> bool:
    try:
        Status.model_validate(raw)
    except ValidationError:
        return False
    return True
