"""The ConfigMap: both configs, as local mode writes them to files, and the spec they are from."""

from typing import Final

from qinstruct_operator.core import names
from qinstruct_operator.core.children.metadata import Manifest, metadata
from qinstruct_operator.core.plan.types import Plan
from qinstruct_trainer.contract import output_files

SPEC: Final = "spec.json"
"""Key of the run's spec as its object had it; no pod reads it."""


def build_config_map(plan: Plan) -> Manifest:
    """prep.json, run.json and spec.json."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": metadata(plan, names.config_name(plan.name), "config"),
        "data": {
            output_files.PREP_CONFIG: plan.prep_config.to_json(),
            output_files.RUN_CONFIG: plan.run_config.to_json(),
            # Without defaults: those of a newer version are no change that the user made.
            SPEC: plan.spec.model_dump_json(exclude_unset=True),
        },
    }
