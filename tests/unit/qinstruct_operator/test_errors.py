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
        ("https://me:s3cret@host/a?token=s3cret", " https://host/a"),
        ("https://host/a b?token=s3cret", " https://host/a b"),
        ({"url": "https://host/a?token=s3cret"}, ' {"url": "https://host/a"}'),
    ],
)
def test_a_sentence_names_field_value_reason_and_fix(value: object, shown: str) -> None:
    sentence = Violation("spec.size", value, "is wrong", "use 7B").sentence()
    assert sentence == f"spec.size{shown}: is wrong; use 7B"


def test_every_violation_has_its_line() -> None:
    error = InvalidSpec([Violation(f"spec.{name}", None, "is wrong", "mend it") for name in "ab"])
    assert str(error).splitlines() == ["spec.a: is wrong; mend it", "spec.b: is wrong; mend it"]


def test_an_address_in_reason_and_fix_is_told_without_its_secrets() -> None:
    url = "https://host/a?token=s3cret"
    said = Violation("spec.x", None, f"means nothing for {url}, which", f"use {url}").sentence()
    assert said == "spec.x: means nothing for https://host/a, which; use https://host/a"
