"""The file of held-out questions: read and checked."""

import json
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from qinstruct_trainer.contract.errors import DataError, StorageError
from qinstruct_trainer.data.records import Record, parse_record


class HeldoutQuestion(BaseModel):
    """A closed question about one image; `answer` is one of the `candidates`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    image: str = Field(description="Path relative to the image root, POSIX.")
    kind: str
    question: str = Field(min_length=1)
    answer: str
    candidates: tuple[str, ...] = Field(min_length=2)

    @model_validator(mode="after")
    def _answer_is_a_candidate(self) -> Self:
        if self.answer not in self.candidates:
            raise ValueError(f"answer {self.answer!r} is none of the candidates {self.candidates}")
        return self

    def record(self, answer: str) -> Record:
        """The question as a record of the training format, answered like this.

        Raises:
            DataError: the image's path leaves the image folder.
        """
        turns = [
            {"from": "human", "value": f"<image>\n{self.question}"},
            {"from": "gpt", "value": answer},
        ]
        return parse_record({"id": self.id, "image": self.image, "conversations": turns}, 0)


_QUESTIONS = TypeAdapter(tuple[HeldoutQuestion, ...])


def read_heldout(path: Path) -> tuple[HeldoutQuestion, ...]:
    """Read the questions.

    Raises:
        StorageError: the file cannot be read.
        DataError: it is not a JSON array of questions, or an empty one.
    """
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise StorageError(f"{path} cannot be read ({error}); run prep again") from error
    try:
        questions = _QUESTIONS.validate_python(json.loads(text))
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "the document"
        raise DataError(f"{path}: {field}: {first['msg']}; run prep again") from error
    except json.JSONDecodeError as error:
        raise DataError(f"{path} is not JSON ({error}); run prep again") from error
    if not questions:
        raise DataError(f"{path} has no questions; run prep again")
    return questions


def heldout_images(heldout: Path) -> Path:
    """Folder of the images that the questions are about: beside the file of questions."""
    return heldout.parent / "images"
