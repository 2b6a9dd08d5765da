"""Sentences about faults of a document."""

import pytest

from qinstruct_operator.errors import InvalidSpec, Violation


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, ""),
        ("34B", " 34B"),
        ("", ' ""'),
        (8, " 8"),
        (True, " true"),
        ({"a": 1}, ' {"a": 1}'),
        ("x" * 81, " " + "x" * 77 + "..."),
        ("a\x1b[2J\nb", " a?[2J?b"),
    ],
)
def test_a_sentence_names_field_value_reason_and_fix(value: object, shown: str) -> None:
    sentence = Violation("spec.size", value, "is wrong", "use 7B").sentence()
    assert sentence == f"spec.size{shown}: is wrong; use 7B"


def test_every_violation_has_its_line() -> None:
    error = InvalidSpec([Violation(f"spec.{name}", None, "is wrong", "mend it") for name in "ab"])
    assert str(error).splitlines() == ["spec.a: is wrong; mend it", "spec.b: is wrong; mend it"]
