"""What every child's metadata have in common."""

from typing import Any

from qinstruct_operator.constants import (
    API_VERSION,
    FIELD_MANAGER,
    KIND,
    LABEL_COMPONENT,
    LABEL_MANAGED_BY,
    LABEL_NAME,
    LABEL_RUN,
)
from qinstruct_operator.core.plan.types import Plan

Manifest = dict[str, Any]
"""One object to apply, as JSON."""


def labels(plan: Plan, component: str) -> dict[str, str]:
    """Labels of a child of a run."""
    return shared_labels(component) | {LABEL_RUN: plan.name}


def shared_labels(component: str) -> dict[str, str]:
    """Labels of an object that several runs share."""
    return {
        LABEL_NAME: "qinstruct",
        LABEL_COMPONENT: component,
        LABEL_MANAGED_BY: FIELD_MANAGER,
    }


def metadata(plan: Plan, name: str, component: str) -> Manifest:
    """Metadata of a child that goes when its run goes."""
    return {
        "name": name,
        "namespace": plan.namespace,
        "labels": labels(plan, component),
        **owner_references(plan),
    }


def owner_references(plan: Plan) -> Manifest:
    """The reference that lets the cluster collect a child; nothing outside a cluster."""
    if plan.owner is None:
        return {}
    return {
        "ownerReferences": [
            {
                "apiVersion": API_VERSION,
                "kind": KIND,
                "name": plan.owner.name,
                "uid": plan.owner.uid,
                "controller": True,
                "blockOwnerDeletion": False,  # True asks for rights on our finalizers
            }
        ]
    }


def optional(**fields: Any) -> Manifest:
    """The fields that have a value; an absent field is not ours to own."""
    return {name: value for name, value in fields.items() if value}
