"""A QInstructTraining of the cluster as the command line shows it. Pure, and lenient.

It may have been written by another version or by hand: what cannot be read is left out and named,
the rest is shown.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

from pydantic import ValidationError

from qinstruct_operator.api.status import Status
from qinstruct_operator.cli.terminal import harmless
from qinstruct_operator.core.raw import Raw, text
from qinstruct_operator.core.times import parse_time


@dataclass(frozen=True)
class SeenRun:
    """One run as the API server returned it.

    Attributes:
        size, strategy: as the spec says them, empty where it does not.
        unreadable: parts of the status that this version cannot read.
    """

    namespace: str
    name: str
    size: str
    strategy: str
    created: datetime | None
    is_deleted: bool
    status: Status
    unreadable: tuple[str, ...]
    raw: Raw

    @classmethod
    def of(cls, raw: Raw) -> Self:
        """The run that an object stands for."""
        status, unreadable = read_status(raw.get("status"))
        return cls(
            namespace=text_at(raw, "metadata", "namespace"),
            name=text_at(raw, "metadata", "name"),
            size=text_at(raw, "spec", "size"),
            strategy=text_at(raw, "spec", "strategy"),
            created=parse_time(text_at(raw, "metadata", "creationTimestamp")),
            is_deleted=bool(text_at(raw, "metadata", "deletionTimestamp")),
            status=status,
            unreadable=unreadable,
            raw=raw,
        )


def read_status(raw: object) -> tuple[Status, tuple[str, ...]]:
    """As much of a status as can be read, and the names of the rest."""
    if not isinstance(raw, Mapping):
        return Status(), ("status",) if raw else ()
    readable: dict[str, Any] = {}
    unreadable: list[str] = []
    for key, value in raw.items():
        kept = _readable_conditions(value) if key == "conditions" else value
        if _is_readable({key: kept}):
            readable[key] = kept
        if kept is not value or key not in readable:
            unreadable.append(harmless(f"status.{key}"))
    return Status.model_validate(readable), tuple(unreadable)


def text_at(raw: Raw, *path: str) -> str:
    """The text at a path, harmless; empty where there is none."""
    return harmless(text(raw, *path))


def _readable_conditions(value: object) -> object:
    """The list without its unreadable elements; the same object when all can be read."""
    if not isinstance(value, list):
        return value
    kept = [each for each in value if _is_readable({"conditions": [each]})]
    return value if len(kept) == len(value) else kept


def _is_readable(raw: Raw) -> bool:
    try:
        Status.model_validate(raw)
    except ValidationError:
        return False
    return True
