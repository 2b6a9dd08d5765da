"""The ConfigMap with both configs, exactly as local mode writes them to files."""

from qinstruct_operator.core import names
from qinstruct_operator.core.children.metadata import Manifest, metadata
from qinstruct_operator.core.plan.types import Plan
from qinstruct_trainer.contract import output_files


def build_config_map(plan: Plan) -> Manifest:
    """prep.json and run.json."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": metadata(plan, names.config_name(plan.name), "config"),
        "data": {
            output_files.PREP_CONFIG: plan.prep_config.to_json(),
            output_files.RUN_CONFIG: plan.run_config.to_json(),
        },
    }
