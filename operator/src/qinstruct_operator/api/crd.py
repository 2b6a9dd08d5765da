"""The CRD, made from the models. `python -m qinstruct_operator.api.crd` prints it."""

import sys
from typing import Any

import yaml

from qinstruct_operator.api.cel_rules import add_rules
from qinstruct_operator.api.openapi_schema import structural_schema
from qinstruct_operator.api.v1alpha1 import QInstructTraining
from qinstruct_operator.constants import (
    API_VERSION_NAME,
    GROUP,
    KIND,
    PLURAL,
    SHORT_NAME,
    SINGULAR,
)

_HEADER = "# Generated from qinstruct_operator.api by `make generate`; do not edit.\n"
_WIDE = 1  # columns with this priority show with `kubectl get -o wide` only


def crd() -> dict[str, Any]:
    """The CustomResourceDefinition as one JSON object."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{PLURAL}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "names": {
                "kind": KIND,
                "listKind": f"{KIND}List",
                "plural": PLURAL,
                "singular": SINGULAR,
                "shortNames": [SHORT_NAME],
            },
            "scope": "Namespaced",
            "versions": [
                {
                    "name": API_VERSION_NAME,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": _columns(),
                    "schema": {"openAPIV3Schema": _schema()},
                }
            ],
        },
    }


def crd_yaml() -> str:
    """The CRD as YAML, with a header; the same bytes each time."""
    return _HEADER + yaml.safe_dump(crd(), sort_keys=False, width=100)


def _schema() -> dict[str, Any]:
    """The object's schema; the API server itself validates apiVersion, kind and metadata."""
    schema = structural_schema(QInstructTraining)
    plain = {name: {"type": "string"} for name in ("apiVersion", "kind")}
    # A rule may name only a field that the schema has; of metadata it may have the name alone.
    metadata = {"type": "object", "properties": {"name": {"type": "string"}}}
    properties = schema["properties"] | plain | {"metadata": metadata}
    return add_rules(schema | {"properties": properties, "required": ["spec"]})


def _columns() -> list[dict[str, Any]]:
    return [
        _column("MODEL", ".spec.size", "Size of the model."),
        _column("STRATEGY", ".spec.strategy", "mix or after."),
        _column("PHASE", ".status.phase", "Summary of the conditions."),
        _column("PROGRESS", ".status.progress", "Progress of the present phase."),
        _column("ETA", ".status.eta", "Time left of the present phase."),
        _column("ATTEMPT", ".status.attempt", "Number of the newest attempt.", kind="integer"),
        _column("QUEUE", ".status.queue", "Queue of the training workload."),
        _column("LOSS", ".status.training.loss", "Newest loss.", kind="number", wide=True),
        _column("GPU-H", ".status.gpuHours", "GPU-hours used.", kind="number", wide=True),
        _column("GOODPUT", ".status.goodput", "Productive part of GPU-H.", wide=True),
        _column("CHECKPOINT", ".status.checkpoint.step", "Saved step.", kind="integer", wide=True),
        _column("RESTARTS", ".status.training.restarts", "In place.", kind="integer", wide=True),
        _column("NODE", ".status.node", "Node of the training pod.", wide=True),
        _column("AGE", ".metadata.creationTimestamp", "Age of the run.", kind="date"),
    ]


def _column(
    name: str, path: str, description: str, *, kind: str = "string", wide: bool = False
) -> dict[str, Any]:
    column = {"name": name, "type": kind, "jsonPath": path, "description": description}
    return column | ({"priority": _WIDE} if wide else {})


if __name__ == "__main__":
    sys.stdout.write(crd_yaml())
