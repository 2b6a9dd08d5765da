"""The prep Job: which ends are final, and what it asks for."""

from typing import Any

from qinstruct_operator.core.children.prep_job import FINAL_EXIT_CODES, build_prep_job
from qinstruct_trainer.contract.errors import ConfigError, DataError, UnavailableError
from support.operator_documents import document, plan

TAINTS = [
    {"key": "sku", "operator": "Exists"},
    {"key": "spot", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 9},
]


def test_bad_data_and_bad_config_end_it_and_disruptions_cost_no_retry() -> None:
    spec = build_prep_job(plan(document()))["spec"]
    fail, ignore = spec["podFailurePolicy"]["rules"]
    assert fail["action"] == "FailJob"
    assert fail["onExitCodes"]["containerName"] == _container(spec)["name"]
    assert set(fail["onExitCodes"]["values"]) == {ConfigError.exit_code, DataError.exit_code}
    assert UnavailableError.exit_code not in FINAL_EXIT_CODES
    assert ignore["action"] == "Ignore"
    assert ignore["onPodConditions"] == [{"type": "DisruptionTarget", "status": "True"}]
    assert spec["backoffLimit"] > 0
    assert spec["template"]["spec"]["restartPolicy"] == "Never"  # what podFailurePolicy demands


def test_it_asks_for_no_gpu_and_has_no_queue() -> None:
    raw = document(scheduling={"queueName": "gpus", "priorityClassName": "low"})
    job = build_prep_job(plan(raw))
    pod = job["spec"]["template"]["spec"]
    assert "nvidia.com/gpu" not in _container(job["spec"])["resources"]["requests"]
    assert "kueue.x-k8s.io/queue-name" not in job["metadata"]["labels"]
    assert pod["priorityClassName"] == "low"
    assert not {"tolerations", "affinity", "nodeSelector"} & set(pod)


def test_the_users_tolerations_are_its_own_too() -> None:
    job = build_prep_job(plan(document(scheduling={"tolerations": TAINTS})))
    assert job["spec"]["template"]["spec"]["tolerations"] == TAINTS


def test_the_command_reads_the_mounted_config() -> None:
    made = plan(document())
    command = _container(build_prep_job(made)["spec"])["command"]
    assert str(made.settings.config_path / "prep.json") in command


def _container(spec: dict[str, Any]) -> dict[str, Any]:
    container: dict[str, Any]
    (container,) = spec["template"]["spec"]["containers"]
    return container
