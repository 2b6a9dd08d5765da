"""The ConfigMap with both configs, exactly as local mode writes them to files."""

from qinstruct_operator.constants import PREP_CONFIG_KEY, RUN_CONFIG_KEY
from qinstruct_operator.core import names
from qinstruct_operator.core.children.metadata import Manifest, metadata
from qinstruct_operator.core.plan.types import Plan


def build_config_map(plan: Plan) -> Manifest:
    """prep.json and run.json."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": metadata(plan, names.config_name(plan.name), "config"),
        "data": {
            PREP_CONFIG_KEY: plan.prep_config.to_json(),
            RUN_CONFIG_KEY: plan.run_config.to_json(),
        },
    }
