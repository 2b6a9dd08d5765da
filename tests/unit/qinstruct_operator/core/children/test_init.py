"""The children of a run as one value: what each is for, and what changes with an attempt."""

import pytest

from qinstruct_operator.core.backends import BACKENDS
from qinstruct_operator.core.children import build_children
from qinstruct_operator.kinds import CLAIM, CONFIG_MAP, JOB
from support.operator_documents import RUNS, document, plan, sample
from support.operator_documents import manifests as manifests_of


@pytest.mark.parametrize("name", RUNS)
def test_later_attempts_differ_in_name_and_label_alone(name: str) -> None:
    made = plan(sample(name))
    first, second = manifests_of(made, 1), manifests_of(made, 2)
    assert first[:-1] == second[:-1]
    assert first[-1]["spec"]["runPolicy"] == second[-1]["spec"]["runPolicy"]
    assert second[-1]["metadata"]["name"] == f"{name}-2"


@pytest.mark.parametrize("name", RUNS)
def test_children_in_the_order_of_creation(name: str) -> None:
    made = plan(sample(name))
    children = build_children(made)
    assert [child.id for child in children] == [
        (CONFIG_MAP, f"{name}-config"),
        (CLAIM, made.cache_claim.name),
        (CLAIM, f"{name}-output"),
        (JOB, f"{name}-prep"),
        (BACKENDS["PyTorchJob"].kind, f"{name}-1"),
    ]
    assert [child.component for child in children] == [
        *("config", "storage", "storage", "prep", "train")
    ]
    assert [child.is_shared for child in children] == [False, True, False, False, False]


def test_claims_that_the_user_brings_are_no_children() -> None:
    made = plan(document(data={"claimName": "data"}, output={"claimName": "mine"}))
    children = build_children(made)
    assert (children.cache_claim, children.output_claim) == (None, None)
    assert children.support == (children.config,)
