"""The base of the API's models, and the types that their fields share."""

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from qinstruct_operator.api.field_types import (
    ApiModel,
    DnsName,
    LabelKey,
    LabelValue,
    NamespaceName,
    Number,
    Quantity,
    SecretKeyRef,
)


class Example(ApiModel):
    """A model with a field of two words."""

    num_steps: int = 1


def test_models_are_frozen() -> None:
    for name in Example.model_fields:
        with pytest.raises(ValidationError, match="frozen"):
            setattr(Example(), name, 2)


def test_fields_are_camel_case_outside() -> None:
    assert Example.model_validate({"numSteps": 3}).num_steps == 3
    assert Example().model_dump() == {"numSteps": 1}


@pytest.mark.parametrize("raw", [{"num_steps": 3}, {"numSteps": "3"}, {"numSteps": 3, "more": 1}])
def test_unknown_keys_and_other_types_are_refused(raw: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Example.model_validate(raw)


@pytest.mark.parametrize(("raw", "want"), [(2e-5, 2e-5), (1, 1.0)])
def test_a_number_may_be_whole(raw: object, want: float) -> None:
    assert TypeAdapter(Number).validate_python(raw, strict=True) == want


@pytest.mark.parametrize(
    "raw",
    [
        *("fast", "", "nan", float("inf"), None, True, [1]),
        *(" 1 ", "1\n", "1_0", "\u0661", "0x10", "0x1p3", "infinity", "-inf", "1e", ".", "1,5"),
        *("2e-5", "10", "1e400", "9" * 5000, "1:30"),
    ],
)
def test_what_is_no_finite_number_is_refused(raw: object) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Number).validate_python(raw, strict=True)


@pytest.mark.parametrize(
    ("type_", "good", "bad"),
    [
        (NamespaceName, ["team", "a-1"], ["", "Team", "a.b", "-a", "n" * 64]),
        (DnsName, ["cache", "a.b-c", "1"], ["", "a..b", "a/b", "a.", "A", "n" * 254]),
        (LabelValue, ["", "a", "A_b.c-1"], ["-a", "a-", "a b", "v" * 64]),
        (
            LabelKey,
            ["zone", "nvidia.com/gpu.product", "example.org/" + "k" * 63],
            ["", "/a", "a/", "a/b/c", "example.org/" + "k" * 64],
        ),
        (Quantity, ["1G", "500Gi", "20Ti"], ["500", "0Gi", "1.5Gi", "1Ki", "Gi"]),
    ],
    ids=["namespace", "name", "label value", "label key", "quantity"],
)
def test_names_and_quantities(type_: Any, good: list[str], bad: list[str]) -> None:
    adapter: TypeAdapter[str] = TypeAdapter(type_)
    assert [adapter.validate_python(each) for each in good] == good
    for each in bad:
        with pytest.raises(ValidationError):
            adapter.validate_python(each)


def test_a_secrets_key_is_token_by_default() -> None:
    assert SecretKeyRef(name="hub").key == "token"
