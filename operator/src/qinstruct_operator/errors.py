"""A user's document that is not valid: `Violation`, one fault each, and `InvalidSpec`."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from qinstruct_trainer.contract.urls import hide_secrets, shown_url

_MAX_VALUE_CHARS = 80
_MAX_FIELD_CHARS = 400  # a label's key has up to 317
_MAX_PART_CHARS = 600


@dataclass(frozen=True)
class Violation:
    """One fault of a document.

    Attributes:
        field: path of the field, e.g. `spec.training.microBatchSize`.
        value: what the document says there; None when it says nothing.
        reason: what is wrong with it, without the field's name and without a full stop.
        fix: what to do about it, an imperative without a full stop.
    """

    field: str
    value: object
    reason: str
    fix: str

    def sentence(self) -> str:
        """`<field> <value>: <reason>; <fix>`, on one line, safe to print on a terminal."""
        said = "" if self.value is None else f" {_shown(self.value)}"
        field = _cut(self.field, _MAX_FIELD_CHARS)
        reason, fix = (_cut(text, _MAX_PART_CHARS) for text in (self.reason, self.fix))
        text = hide_secrets(f"{field}{said}: {reason}; {fix}")
        return "".join(sign if sign.isprintable() else "?" for sign in text)


class InvalidSpec(Exception):  # noqa: N818 - the name that the design and its readers use
    """A document that cannot become a run, with every fault that was found."""

    def __init__(self, violations: Sequence[Violation]) -> None:
        self.violations = tuple(violations)
        super().__init__("\n".join(violation.sentence() for violation in self.violations))


def _shown(value: object) -> str:
    """The value as JSON writes it (text without quotes), cut to a readable length."""
    if isinstance(value, str) and "://" in value:
        value = shown_url(value)  # whole, also with a blank in it
    try:
        text = value if isinstance(value, str) and value else json.dumps(value, default=str)
    except ValueError:  # a number that nobody can print
        text = "(a number of thousands of digits)"
    return _cut(text, _MAX_VALUE_CHARS)


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 3] + "..."
