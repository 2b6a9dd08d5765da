"""CEL rules: well formed, and in step with what `parse` accepts."""

import re

import pytest

from qinstruct_operator.api import parse
from qinstruct_operator.api.cel_rules import fixed_rules, late_rules, name_rules, spec_rules
from qinstruct_operator.api.crd import crd
from qinstruct_operator.api.spec import Spec
from qinstruct_operator.errors import InvalidSpec
from support.operator_documents import document

FIELDS = {str(field.alias) for field in Spec.model_fields.values()}


@pytest.mark.parametrize("rule", spec_rules(), ids=lambda rule: rule["fieldPath"])
def test_a_rule_names_a_field_of_the_spec(rule: dict[str, str]) -> None:
    assert rule["fieldPath"].split(".")[1] in FIELDS
    assert set(re.findall(r"self\.(\w+)", rule["rule"])) <= FIELDS
    assert "; " in rule["message"], "the message says no way out"


def test_every_field_has_one_rule_about_its_changes() -> None:
    fixed, late = (
        [rule["fieldPath"].removeprefix(".spec") for rule in rules]
        for rules in (fixed_rules(), late_rules())
    )
    assert not any("oldSelf" in rule["rule"] for rule in spec_rules())
    paths = [path for path in (*fixed, *late) if path.count(".") == 1]
    assert sorted([*paths, ".suspend"]) == sorted(f".{field}" for field in FIELDS)
    assert set(fixed) - set(paths) == {".checkpoint.keep"}


def test_descriptions_say_until_when_a_field_can_change() -> None:
    (version,) = crd()["spec"]["versions"]
    spec = version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    notes = {name: field["description"].rsplit(". ", 1)[-1] for name, field in spec.items()}
    assert notes["prep"] == notes["size"] == "Fixed at creation, unless the spec was refused."
    assert (
        notes["gpu"]
        == notes["tracking"]
        == ("Can change until the training workload exists or the run has ended.")
    )
    assert notes["suspend"] == "Can change at any time."
    assert set(notes.values()) == {notes["prep"], notes["gpu"], notes["suspend"]}
    assert spec["checkpoint"]["properties"]["keep"]["description"].endswith(notes["size"])


@pytest.mark.parametrize(
    ("name", "good"), [("a", True), ("a-1", True), ("r" * 48, True), ("r" * 49, False),
                       ("A", False), ("1a", False), ("a-", False), ("a.b", False)]
)  # fmt: skip
def test_names_are_judged_as_parse_does(name: str, good: bool) -> None:
    length, pattern = (rule["rule"] for rule in name_rules())
    (longest,) = re.findall(r"\d+", length)
    (regular,) = re.findall(r"matches\('(.*)'\)", pattern)
    assert (len(name) <= int(longest) and re.search(regular, name) is not None) == good
    if good:
        assert parse(document(name)).metadata.name == name
    else:
        with pytest.raises(InvalidSpec, match=r"metadata\.name"):
            parse(document(name))
