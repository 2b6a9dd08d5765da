"""Every bad document is refused with one sentence that names field, value, reason, way out."""

import pytest

from qinstruct_operator.errors import InvalidSpec
from support.bad_specs import BAD_SPECS
from support.operator_documents import plan


@pytest.mark.parametrize("case", BAD_SPECS)
def test_bad_spec_is_refused_by_name(case: str) -> None:
    raw, field, text = BAD_SPECS[case]
    with pytest.raises(InvalidSpec) as caught:
        plan(raw)
    (violation,) = caught.value.violations
    sentence = violation.sentence()
    assert violation.field == field
    assert sentence.startswith(field)
    assert text in sentence
    assert "; " in sentence, "the sentence names no way out"
    assert "\n" not in sentence


def test_there_are_enough_of_them() -> None:
    assert len(BAD_SPECS) >= 45


def test_every_fault_is_reported_at_once() -> None:
    raw = BAD_SPECS["13B on 40 GB"][0]
    raw = raw | {"spec": raw["spec"] | {"suspend": True, "data": {"maxMissing": 3}}}
    with pytest.raises(InvalidSpec) as caught:
        plan(raw)
    assert [violation.field for violation in caught.value.violations] == [
        "spec.gpu.product",
        "spec.data.maxMissing",
        "spec.suspend",
    ]


def test_a_password_is_never_repeated() -> None:
    with pytest.raises(InvalidSpec) as caught:
        plan(BAD_SPECS["address with a password"][0])
    assert "secret" not in str(caught.value)
