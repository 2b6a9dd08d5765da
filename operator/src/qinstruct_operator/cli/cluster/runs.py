"""A QInstructTraining of the cluster as the command line shows it. Pure, and lenient.

It may have been written by another version or by hand: what cannot be read is left out and named,
the rest is shown.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Self

from qinstruct_operator.api.read_status import read_status
from qinstruct_operator.api.status import Status
from qinstruct_operator.cli.terminal import harmless
from qinstruct_operator.core.raw import Raw, moment, text


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
        status, unreadable = read_status(raw)
        return cls(
            namespace=text_at(raw, "metadata", "namespace"),
            name=text_at(raw, "metadata", "name"),
            size=text_at(raw, "spec", "size"),
            strategy=text_at(raw, "spec", "strategy"),
            created=moment(text_at(raw, "metadata", "creationTimestamp")),
            is_deleted=bool(text_at(raw, "metadata", "deletionTimestamp")),
            status=status,
            unreadable=tuple(map(harmless, unreadable)),
            raw=raw,
        )


def text_at(raw: Raw, *path: str) -> str:
    """The text at a path, harmless; empty where there is none."""
    return harmless(text(raw, *path))
