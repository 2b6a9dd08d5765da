"""Metadata of children: labels, owner references, namespaces. Pure."""

from typing import Any

from qinstruct_operator.constants import (
    ANNOTATION_GENERATION,
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
    """Metadata of a child that is deleted with its run."""
    return {
        "name": name,
        "namespace": plan.namespace,
        "labels": labels(plan, component),
        **_generation(plan),
        **owner_references(plan),
    }


def _generation(plan: Plan) -> Manifest:
    if plan.owner is None or plan.owner.generation is None:
        return {}
    return {"annotations": {ANNOTATION_GENERATION: str(plan.owner.generation)}}


def owner_references(plan: Plan) -> Manifest:
    """The owner reference by which the cluster collects a child; empty outside a cluster."""
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
    """The fields that have a value; server-side apply owns every field that is sent."""
    return {name: value for name, value in fields.items() if value}
