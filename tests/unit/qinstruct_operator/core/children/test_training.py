"""The training workload: attempt, queue, deadline and command."""

from typing import Any

import pytest

from qinstruct_operator.api import parse
from qinstruct_operator.core.backends import BACKENDS
from qinstruct_operator.core.children.training import build_training
from qinstruct_operator.core.plan.make import make_plan
from qinstruct_operator.core.plan.types import Plan
from qinstruct_operator.settings import Settings
from support.operator_documents import document, manifests, plan

TAINTS = [
    {"key": "sku", "operator": "Equal", "value": "gpu", "effect": "NoSchedule"},
    {"key": "spot", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 60},
]


def pod_of(made: Plan) -> dict[str, Any]:
    spec: dict[str, Any] = _template(build_training(made, 1))["spec"]
    return spec


def test_an_attempt_is_in_the_name_and_in_both_labels() -> None:
    manifest = build_training(plan(document()), 7)
    assert manifest["metadata"]["name"] == "x-7"
    for labels in (manifest["metadata"]["labels"], _template(manifest)["metadata"]["labels"]):
        assert labels["qinstruct.dev/attempt"] == "7"


def test_a_workload_says_which_nodes_its_pod_is_kept_from() -> None:
    manifest = build_training(plan(document(size="Tiny")), 3, avoided=["gpu-1", "gpu-2"])
    assert manifest["metadata"]["annotations"]["qinstruct.dev/avoided-nodes"] == "gpu-1,gpu-2"
    assert "matchFields" in str(_template(manifest)["spec"]["affinity"])
    first = build_training(plan(document(size="Tiny")), 3)
    assert "qinstruct.dev/avoided-nodes" not in str(first)
    assert "affinity" not in _template(first)["spec"]


def test_the_queue_is_on_the_workload_and_not_on_its_pod() -> None:
    manifest = build_training(plan(document(scheduling={"queueName": "gpus"})), 1)
    queue = "kueue.x-k8s.io/queue-name"
    assert manifest["metadata"]["labels"][queue] == "gpus"
    assert queue not in _template(manifest)["metadata"]["labels"]
    assert queue not in build_training(plan(document()), 1)["metadata"]["labels"]


@pytest.mark.parametrize(("scheduling", "expected"), [({}, "all"), ({"queueName": "gpus"}, "gpus")])
def test_an_installation_has_a_queue_for_runs_that_name_none(
    scheduling: dict[str, str], expected: str
) -> None:
    made = make_plan(parse(document(scheduling=scheduling)), Settings(default_queue="all"))
    assert build_training(made, 1)["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == expected
    (prep,) = (one for one in manifests(made) if one["kind"] == "Job")
    assert "kueue.x-k8s.io/queue-name" not in prep["metadata"]["labels"]


def test_the_pod_keeps_the_deadline() -> None:
    made = plan(document(scheduling={"activeDeadlineSeconds": 777}))
    assert pod_of(made)["activeDeadlineSeconds"] == 777
    assert pod_of(made)["terminationGracePeriodSeconds"] == made.size.grace_seconds


def test_what_has_ended_is_kept_for_as_long_as_was_asked_and_the_prep_job_for_ever() -> None:
    made = plan(document(scheduling={"ttlSecondsAfterFinished": 660}))
    policy = build_training(made, 1)["spec"]["runPolicy"]
    assert policy["ttlSecondsAfterFinished"] == 660
    (prep,) = (one for one in manifests(made) if one["kind"] == "Job")
    assert "ttlSecondsAfterFinished" not in prep["spec"]


def test_where_the_user_wants_it_is_in_the_pod_as_it_was_said() -> None:
    said = {
        "priorityClassName": "low",
        "schedulerName": "volcano",
        "nodeSelector": {"zone": "a", "disk": "fast"},
    }
    pod = pod_of(plan(document(scheduling={**said, "tolerations": TAINTS})))
    assert pod["nodeSelector"].pop("kubernetes.io/arch") == "amd64"
    assert {name: pod[name] for name in said} == said
    assert [each for each in pod["tolerations"] if each in TAINTS] == TAINTS


@pytest.mark.parametrize(("size", "processes"), [("7B", 8), ("Tiny", 2)])
def test_one_process_a_gpu_is_started_on_the_mounted_config(size: str, processes: int) -> None:
    made = plan(document(size=size))
    (container,) = pod_of(made)["containers"]
    assert f"--nproc-per-node={processes}" in container["command"]
    assert str(made.settings.config_path / "run.json") in container["command"]


def test_no_autoscaler_moves_it_to_save_a_node() -> None:
    annotations = _template(build_training(plan(document()), 1))["metadata"]["annotations"]
    assert annotations["karpenter.sh/do-not-disrupt"] == "true"
    assert annotations["cluster-autoscaler.kubernetes.io/safe-to-evict"] == "false"


def test_nccl_speaks_only_where_there_are_gpus() -> None:
    for size, speaks in (("7B", True), ("Tiny", False)):
        (container,) = pod_of(plan(document(size=size)))["containers"]
        names = {each["name"] for each in container["env"]}
        assert ("NCCL_DEBUG" in names) == speaks
        assert ("nvidia.com/gpu" in container["resources"]["requests"]) == speaks


def test_training_reads_the_cache_and_does_not_write_it() -> None:
    (container,) = pod_of(plan(document()))["containers"]
    cache = next(each for each in container["volumeMounts"] if each["name"] == "cache")
    assert cache["readOnly"]


def _template(manifest: dict[str, Any]) -> dict[str, Any]:
    return BACKENDS["PyTorchJob"].pod_template(manifest)
