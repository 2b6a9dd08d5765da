"""Manifests of a run's children: one kind a file, one function each, same plan same bytes.

A builder writes what it reads in the finished plan and decides nothing; a child that the user
brings is None and left out. May import `core.plan`, `core.names`, `core.sizes`, constants.
"""

import yaml

from qinstruct_operator.core.children.claims import build_cache_claim, build_output_claim
from qinstruct_operator.core.children.config_map import build_config_map
from qinstruct_operator.core.children.metadata import Manifest
from qinstruct_operator.core.children.prep_job import FINAL_EXIT_CODES, build_prep_job
from qinstruct_operator.core.children.pytorchjob import build_pytorchjob
from qinstruct_operator.core.plan.types import Plan

__all__ = [
    "FINAL_EXIT_CODES",
    "Manifest",
    "build",
    "build_cache_claim",
    "build_config_map",
    "build_output_claim",
    "build_prep_job",
    "build_pytorchjob",
    "render_yaml",
]


def build(plan: Plan, attempt: int = 1) -> tuple[Manifest, ...]:
    """Every child in apply order: what a pod mounts, prep, then the attempt's PyTorchJob."""
    children = (
        build_config_map(plan),
        build_cache_claim(plan),
        build_output_claim(plan),
        build_prep_job(plan),
        build_pytorchjob(plan, attempt),
    )
    return tuple(child for child in children if child is not None)


class _Dumper(yaml.SafeDumper):
    """Block style for text of several lines, and no anchors: what a person would write."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    style = "|" if "\n" in value else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _text)


def render_yaml(manifests: tuple[Manifest, ...]) -> str:
    """Multi-document YAML; the same bytes for the same manifests."""
    return "".join(
        "---\n" + yaml.dump(manifest, Dumper=_Dumper, sort_keys=False, width=100)
        for manifest in manifests
    )
