"""Documents for the operator's tests: the samples, and small ones made by hand."""

from pathlib import Path
from typing import Any

import yaml

from qinstruct_operator.api import parse
from qinstruct_operator.constants import API_VERSION, KIND
from qinstruct_operator.core.children import Manifest, build_children
from qinstruct_operator.core.plan.make import make_plan
from qinstruct_operator.core.plan.types import Plan
from qinstruct_operator.settings import Settings

ROOT = Path(__file__).parents[2]
SAMPLES = ROOT / "manifests" / "samples"
RUNS = ("run-7b-mix", "run-13b-mix", "run-7b-after", "run-13b-after", "run-tiny")
UID = "5c1f3d2e-8a54-4f0e-9a53-0c8f5b1d7e11"


def document(
    name: str = "x", size: str = "7B", strategy: str = "after", **spec: Any
) -> dict[str, Any]:
    """A document with the two required fields, and others as given."""
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {"name": name},
        "spec": {"size": size, "strategy": strategy, **spec},
    }


def sample(name: str) -> dict[str, Any]:
    """A sample as it is on disk."""
    loaded: dict[str, Any] = yaml.safe_load((SAMPLES / f"{name}.yaml").read_text("utf-8"))
    return loaded


def plan(raw: dict[str, Any]) -> Plan:
    """The plan of a document with the cluster's settings."""
    return make_plan(parse(raw), Settings())


def manifests(plan: Plan, attempt: int = 1) -> tuple[Manifest, ...]:
    """Every child of a planned run, in the order of creation."""
    return tuple(child.manifest for child in build_children(plan, attempt))
