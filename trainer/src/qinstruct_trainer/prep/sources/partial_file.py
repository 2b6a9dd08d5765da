"""A file that is not whole yet, and what is known of it: both outlive the process.

The bytes land outside the unit; beside them a small JSON file keeps what is needed to ask for the
rest (RFC 9110: Range with If-Range, so that a changed file is sent whole).
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from qinstruct_trainer.contract.urls import url_identity
from qinstruct_trainer.durable_files import (
    delete_tree,
    is_ours_alone,
    open_within,
    read_bounded,
    write_durably,
)
from qinstruct_trainer.prep.sources.answers import VALIDATOR, Stamp
from qinstruct_trainer.prep.sources.spans import Span, merged

_MAX_NOTES_BYTES: Final = 64 << 10


class Notes(BaseModel):
    """What is known about a partial file.

    Attributes:
        identity: Whose it is (`url_identity`). Not `url`, as in the notes of earlier versions,
            which know no spans: those take a divided file for a whole one.
        validator: How to ask for the rest of the same version.
        total: Its bytes when it is whole.
        spans: Which bytes of a divided file are there; None: it is not divided, but grows.
        stamp: What the server said of the version.
    """

    model_config = ConfigDict(frozen=True)
    identity: str
    validator: Annotated[str, Field(pattern=VALIDATOR)] | None = None
    total: int | None = None
    spans: tuple[Span, ...] | None = None
    stamp: Stamp = Stamp()

    @model_validator(mode="after")
    def _check_spans(self) -> Self:
        if self.spans is None:
            return self
        borders = [border for span in self.spans for border in span]
        is_within = not borders or (borders[0] >= 0 and borders[-1] <= (self.total or 0))
        if self.validator is None or not is_within or self.spans != merged(self.spans):
            raise ValueError("these are no spans of the file")
        return self


@dataclass(frozen=True)
class PartialFile:
    """A download that another process may go on with."""

    path: Path

    @property
    def _notes(self) -> Path:
        return self.path.with_name(f"{self.path.name}.json")

    def size(self) -> int:
        """How many bytes there are."""
        return self.path.stat().st_size if self.path.exists() else 0

    def read_notes(self, url: str) -> Notes:
        """What is known; of a file of another URL, or behind notes of another make, nothing."""
        identity = url_identity(url)
        try:
            notes = Notes.model_validate_json(read_bounded(self._notes, _MAX_NOTES_BYTES))
        except (OSError, ValidationError):
            return Notes(identity=identity)
        is_cut = notes.spans is not None and self.size() != notes.total
        return notes if notes.identity == identity and not is_cut else Notes(identity=identity)

    def write_notes(self, notes: Notes) -> None:
        """Bring them to the disk."""
        write_durably(self._notes, notes.model_dump_json())

    def divide(self, notes: Notes, total: int) -> None:
        """Begin anew with a file of that size without content, which takes no room yet.

        Raises:
            OSError: it cannot be made.
        """
        self.forget()
        with open_within(self.path) as file:
            file.truncate(total)
        self.write_notes(notes.model_copy(update={"total": total, "spans": ()}))

    def forget(self) -> None:
        """Delete the file and what is known about it."""
        self.path.unlink(missing_ok=True)
        self._notes.unlink(missing_ok=True)

    def refuse_planted(self) -> None:
        """Keep only what we alone have: another name for its bytes is a trap."""
        for path in (self.path, self._notes):
            if os.path.lexists(path) and not is_ours_alone(path):
                delete_tree(path)
