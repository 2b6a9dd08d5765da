"""A file that is not whole yet, and what is known of it: both outlive the process.

The bytes land outside the unit; beside them a small JSON file keeps what is needed to ask for the
rest (RFC 9110: Range with If-Range, so that a changed file is sent whole).
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from qinstruct_trainer.contract.urls import url_identity
from qinstruct_trainer.durable_files import delete_tree, is_ours_alone, read_bounded, write_durably
from qinstruct_trainer.prep.sources.answers import VALIDATOR

_MAX_NOTES_BYTES: Final = 64 << 10


class Notes(BaseModel):
    """What is known about a partial file: whose it is (`url_identity`), how to ask for the rest."""

    model_config = ConfigDict(frozen=True)
    url: str
    validator: Annotated[str, Field(pattern=VALIDATOR)] | None = None
    total: int | None = None


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
            return Notes(url=identity)
        return notes if notes.url == identity else Notes(url=identity)

    def write_notes(self, notes: Notes) -> None:
        """Bring them to the disk."""
        write_durably(self._notes, notes.model_dump_json())

    def forget(self) -> None:
        """Delete the file and what is known about it."""
        self.path.unlink(missing_ok=True)
        self._notes.unlink(missing_ok=True)

    def refuse_planted(self) -> None:
        """Keep only what we alone have: another name for its bytes is a trap."""
        for path in (self.path, self._notes):
            if os.path.lexists(path) and not is_ours_alone(path):
                delete_tree(path)
