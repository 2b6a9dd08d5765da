"""Labels, owners and namespaces of a run's children."""

from dataclasses import replace

import pytest

from qinstruct_operator.api import parse
from qinstruct_operator.core.children.metadata import metadata, optional, owner_references
from qinstruct_operator.core.plan.make import make_plan
from qinstruct_operator.core.plan.types import Owner
from qinstruct_operator.settings import Settings
from support.operator_documents import UID, document, plan
from support.operator_documents import manifests as manifests_of


@pytest.mark.parametrize("retain", [True, False])
def test_owner_references(retain: bool) -> None:
    raw = document(output={"retain": retain})
    raw["metadata"] |= {"uid": UID, "namespace": "team"}
    manifests = manifests_of(make_plan(parse(raw), Settings()))
    owned = {m["metadata"]["name"]: "ownerReferences" in m["metadata"] for m in manifests}
    assert owned == {
        "x-config": True,
        "qinstruct-cache": False,
        "x-output": not retain,
        "x-prep": True,
        "x-1": True,
    }
    assert {m["metadata"]["namespace"] for m in manifests} == {"team"}


def test_the_run_is_the_controller_of_its_child() -> None:
    made = replace(plan(document()), owner=Owner("x", UID))
    (reference,) = owner_references(made)["ownerReferences"]
    assert reference == {
        "apiVersion": "qinstruct.dev/v1alpha1",
        "kind": "QInstructTraining",
        "name": "x",
        "uid": UID,
        "controller": True,
        "blockOwnerDeletion": False,
    }


@pytest.mark.parametrize(
    ("generation", "noted"), [(None, None), (3, {"qinstruct.dev/generation": "3"})]
)
def test_a_child_says_which_spec_it_was_made_from(
    generation: int | None, noted: dict[str, str] | None
) -> None:
    made = replace(plan(document()), owner=Owner("x", UID, generation))
    assert metadata(made, "x-config", "config").get("annotations") == noted


def test_a_rendered_child_has_no_owner() -> None:
    meta = metadata(plan(document()), "x-config", "config")
    assert meta == {
        "name": "x-config",
        "namespace": "default",
        "labels": {
            "app.kubernetes.io/name": "qinstruct",
            "app.kubernetes.io/component": "config",
            "app.kubernetes.io/managed-by": "qinstruct-operator",
            "qinstruct.dev/run": "x",
        },
    }


def test_a_field_without_a_value_is_left_out() -> None:
    assert optional(a=1, b=None, c="", d=[], e={}) == {"a": 1}
