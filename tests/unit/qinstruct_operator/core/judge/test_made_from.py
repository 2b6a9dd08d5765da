"""What a training workload was made from, by its own object."""

from typing import Any

import pytest

from qinstruct_operator.api import parse
from qinstruct_operator.core.backends.pytorchjob import PYTORCHJOB
from qinstruct_operator.core.children import build_children
from qinstruct_operator.core.judge.made_from import MadeFrom, attempt_of, generation_of, made_from
from qinstruct_operator.core.plan.make import make_plan
from qinstruct_operator.settings import Settings
from support.observed import pytorchjob, training
from support.operator_documents import document, plan

JOB = build_children(plan(document(output={"claimName": "mine"}))).training.manifest


def test_what_was_built_says_it() -> None:
    assert made_from(JOB, PYTORCHJOB) == MadeFrom(Settings().trainer_image, "mine")


ODD: dict[str, dict[str, Any]] = {
    "as a test makes it": pytorchjob(),
    "another kind's": {"metadata": {"name": "x-1"}, "spec": {"template": {}}},
    "wrong types": {"spec": {"pytorchReplicaSpecs": {"Master": {"template": {"spec": "x"}}}}},
    "no template": {"spec": {"pytorchReplicaSpecs": None}},
}


@pytest.mark.parametrize("raw", ODD.values(), ids=ODD)
def test_what_is_not_as_we_make_it_says_nothing(raw: dict[str, Any]) -> None:
    assert made_from(raw, PYTORCHJOB) is None


def test_every_child_with_an_owner_says_its_generation() -> None:
    raw = training()
    raw["metadata"]["generation"] = 7
    children = build_children(make_plan(parse(raw), Settings()))
    made = (children.config, children.prep, children.training)
    assert [generation_of(child.manifest) for child in made] == [7, 7, 7]
    assert generation_of(JOB) is None


@pytest.mark.parametrize("said", ["", "x", "-1", "1" * 30, "²", "٣"])
def test_a_generation_that_is_none(said: str) -> None:
    assert generation_of({"metadata": {"annotations": {"qinstruct.dev/generation": said}}}) is None


@pytest.mark.parametrize(
    ("said", "want"),
    [
        ("1", 1),
        ("99999", 99999),
        ("0", None),
        ("100000", None),
        ("", None),
        ("x", None),
        ("-1", None),
        ("٣", None),
    ],
)
def test_the_attempt_of_a_workload(said: str, want: int | None) -> None:
    assert attempt_of({"metadata": {"labels": {"qinstruct.dev/attempt": said}}}) == want
