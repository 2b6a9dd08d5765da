"""The ConfigMap is the configs that prep and training read."""

from qinstruct_operator.core.children.config_map import build_config_map
from qinstruct_trainer.contract.config import PrepConfig, RunConfig
from support.operator_documents import document, plan


def test_both_configs_read_back_as_planned() -> None:
    made = plan(document(training={"epochs": 3}))
    data = build_config_map(made)["data"]
    assert set(data) == {"prep.json", "run.json", "spec.json"}
    assert PrepConfig.model_validate_json(data["prep.json"]) == made.prep_config
    assert RunConfig.model_validate_json(data["run.json"]) == made.run_config
    assert made.run_config.epochs == 3
