"""What a target may do with an input: give a value, or refuse it in a sentence."""

from typing import Final

from pydantic import BaseModel

from qinstruct_operator.errors import InvalidSpec
from qinstruct_trainer.contract.errors import RunError

MAX_SENTENCE: Final = 2000  # characters; half of that may be the name of a file


class Verdict(BaseModel):
    """How an input ended: a value, our sentences, or `broken`, which must not be."""

    value: str = ""
    refused: tuple[str, ...] = ()
    broken: str = ""


def must_be_shown(text: str, limit: int = MAX_SENTENCE) -> None:
    """The text is one line without control characters, and of bounded length."""
    assert text.isprintable(), f"not one line of printable characters: {text!r:.500}"
    assert len(text) <= limit, f"{len(text):,} characters: {text:.500}"


def sentences(error: RunError | InvalidSpec) -> tuple[str, ...]:
    """What a user reads of it."""
    if isinstance(error, InvalidSpec):
        return tuple(violation.sentence() for violation in error.violations)
    return (str(error),)
