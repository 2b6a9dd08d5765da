"""Which fields may change, and what has changed between two specs."""

from typing import Any

import pytest

from qinstruct_operator.api.changes import ANYTIME, CHANGEABLE, FIXED, FIXED_PARTS, Change, changes
from qinstruct_operator.api.spec import Spec
from support.operator_documents import document


def spec(**fields: Any) -> Spec:
    return Spec.model_validate(document(**fields)["spec"])


CASES: dict[str, tuple[dict[str, Any], dict[str, Any], tuple[Change, ...]]] = {
    "what can change at any time": ({}, {"suspend": True}, ()),
    "nothing": ({"gpu": {"perNode": 4}}, {"gpu": {"perNode": 4}}, ()),
    "a default that is said": ({}, {"gpu": {"perNode": 8}, "training": {}}, ()),
    "a value": ({}, {"gpu": {"perNode": 4}}, (Change("spec.gpu.perNode", 8, 4),)),
    "a group is removed": (
        {"prep": {"queueName": "cpus"}},
        {},
        (Change("spec.prep.queueName", "cpus", None),),
    ),
    "one label of several": (
        {"scheduling": {"nodeSelector": {"zone": "a", "rack": "1"}}},
        {"scheduling": {"nodeSelector": {"zone": "b", "pool": "x"}}},
        (
            Change("spec.scheduling.nodeSelector.zone", "a", "b"),
            Change("spec.scheduling.nodeSelector.rack", "1", None),
            Change("spec.scheduling.nodeSelector.pool", None, "x"),
        ),
    ),
    "a list, as a whole": (
        {"scheduling": {"tolerations": []}},
        {"scheduling": {"tolerations": [{"key": "sku", "operator": "Exists"}]}},
        (
            Change(
                "spec.scheduling.tolerations",
                [],
                [
                    {
                        "key": "sku",
                        "operator": "Exists",
                        "value": None,
                        "effect": None,
                        "tolerationSeconds": None,
                    }
                ],
            ),
        ),
    ),
    "two groups": (
        {"size": "7B"},
        {"size": "13B", "checkpoint": {"everyMinutes": 5}},
        (Change("spec.size", "7B", "13B"), Change("spec.checkpoint.everyMinutes", None, 5.0)),
    ),
}


@pytest.mark.parametrize(("before", "after", "want"), CASES.values(), ids=CASES)
def test_what_has_changed(
    before: dict[str, Any], after: dict[str, Any], want: tuple[Change, ...]
) -> None:
    assert changes(spec(**before), spec(**after)) == want


@pytest.mark.parametrize(
    ("field", "fixed"),
    [
        ("spec.size", True),
        ("spec.data.sources.coco.url", True),
        ("spec.prep.nodeSelector.zone", True),
        ("spec.checkpoint.keep", True),
        ("spec.checkpoint.everyMinutes", False),
        ("spec.gpu.perNode", False),
        ("spec.scheduling.nodeSelector.size", False),
    ],
)
def test_which_are_fixed(field: str, fixed: bool) -> None:
    assert Change(field, 1, 2).is_of_fixed_field == fixed


def test_every_field_of_the_spec_is_one_or_the_other() -> None:
    names = [str(field.alias) for field in Spec.model_fields.values()]
    assert sorted((*FIXED, *CHANGEABLE, *ANYTIME)) == sorted(names)
    for path in FIXED_PARTS:
        group, name = path.split(".")
        assert group in CHANGEABLE
        assert name in spec().model_dump()[group]
