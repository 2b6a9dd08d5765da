"""The sentences of violations."""

import pytest

from qinstruct_operator.errors import InvalidSpec, Violation


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (7, "spec.size 7: is wrong; mend it"),
        ("Huge", "spec.size Huge: is wrong; mend it"),
        ("", 'spec.size "": is wrong; mend it'),
        (None, "spec.size: is wrong; mend it"),
        ({"a": True}, 'spec.size {"a": true}: is wrong; mend it'),
        ("a\x1b\nb", "spec.size a??b: is wrong; mend it"),
    ],
)
def test_a_violation_is_one_printable_line(value: object, said: str) -> None:
    assert Violation("spec.size", value, "is wrong", "mend it").sentence() == said


def test_a_long_value_is_cut() -> None:
    sentence = Violation("spec.size", "x" * 81, "is wrong", "mend it").sentence()
    assert sentence == f"spec.size {'x' * 77}...: is wrong; mend it"


def test_an_invalid_spec_says_every_violation_on_a_line_of_its_own() -> None:
    found = [Violation(f"spec.{name}", None, "is wrong", "mend it") for name in ("a", "b")]
    assert str(InvalidSpec(found)) == "spec.a: is wrong; mend it\nspec.b: is wrong; mend it"
