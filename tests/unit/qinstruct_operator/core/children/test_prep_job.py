"""The prep Job: which ends are final, and what it asks for."""

import json
from dataclasses import replace
from typing import Any

from qinstruct_operator.core.children.prep_job import FINAL_EXIT_CODES, build_prep_job
from qinstruct_operator.core.children.training import build_training
from qinstruct_trainer.contract.errors import ConfigError, DataError, UnavailableError
from support.operator_documents import document, plan

QUEUE = "kueue.x-k8s.io/queue-name"
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


def test_it_alone_has_the_token_and_only_by_reference() -> None:
    made = plan(document(data={"tokenSecretRef": {"name": "qinstruct-hub", "key": "hf"}}))
    without = plan(document())
    env = _container(build_prep_job(made)["spec"])["env"]
    more = [one for one in env if one not in _container(build_prep_job(without)["spec"])["env"]]
    assert more == [
        {
            "name": "HF_TOKEN",
            "valueFrom": {"secretKeyRef": {"name": "qinstruct-hub", "key": "hf"}},
        },
        {
            "name": "HF_ENDPOINT",
            "valueFrom": {
                "secretKeyRef": {"name": "qinstruct-hub", "key": "HF_ENDPOINT", "optional": True}
            },
        },
    ]
    assert "secret" not in json.dumps(build_training(made, 1)).lower()


def test_of_stores_it_has_the_keys_of_those_that_are_used() -> None:
    sources = {
        "q-instruct-labels": {"url": "s3://bucket/labels.json"},
        "q-instruct-images": {"url": "https://h/f", "mirrors": ["az://container/images.tar"]},
    }
    data = {"tokenSecretRef": {"name": "qinstruct-keys"}, "sources": sources}
    env = _container(build_prep_job(plan(document(data=data)))["spec"])["env"]
    references = [one["valueFrom"] for one in env if "secretKeyRef" in one.get("valueFrom", {})]
    assert [one["secretKeyRef"]["key"] for one in references] == [
        "token",
        "HF_ENDPOINT",
        *("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"),
        *("AWS_REGION", "AWS_ENDPOINT_URL"),
        *("AZURE_STORAGE_ACCOUNT_NAME", "AZURE_STORAGE_SAS_TOKEN"),
    ]
    assert all(one["secretKeyRef"]["optional"] for one in references)


def test_it_asks_for_no_gpu_and_takes_nothing_of_what_schedules_training() -> None:
    given = {
        "queueName": "gpus",
        "priorityClassName": "high",
        "schedulerName": "mine",
        "tolerations": TAINTS,
        "nodeSelector": {"pool": "gpus"},
        "activeDeadlineSeconds": 777,
    }
    job = build_prep_job(plan(document(scheduling=given)))
    assert job == build_prep_job(plan(document()))
    assert "nvidia.com/gpu" not in _container(job["spec"])["resources"]["requests"]
    assert QUEUE not in job["metadata"]["labels"]


def test_what_the_user_says_of_prep_shapes_it_alone() -> None:
    given = {
        "queueName": "cpus",
        "priorityClassName": "low",
        "tolerations": TAINTS,
        "nodeSelector": {"pool": "cpus"},
        "resources": {"cpu": "1500m", "memory": "9Gi"},
    }
    made = plan(document(prep=given))
    job = build_prep_job(made)
    pod = job["spec"]["template"]["spec"]
    assert job["metadata"]["labels"][QUEUE] == "cpus"
    assert QUEUE not in job["spec"]["template"]["metadata"]["labels"]
    assert pod["priorityClassName"] == "low"
    assert pod["tolerations"] == TAINTS
    assert pod["nodeSelector"] == {"kubernetes.io/arch": "amd64", "pool": "cpus"}
    assert _container(job["spec"])["resources"] == {
        "requests": {"cpu": "1500m", "memory": "9Gi"},
        "limits": {"memory": "9Gi"},
    }
    assert build_training(made, 1) == build_training(plan(document()), 1)


def test_what_it_asks_for_is_by_the_size_where_the_user_does_not_say() -> None:
    made = plan(document(prep={"resources": {"cpu": "2"}}))
    resources = _container(build_prep_job(made)["spec"])["resources"]
    assert resources["requests"] == {"cpu": "2", "memory": made.size.prep.memory}


def test_the_command_reads_the_mounted_config() -> None:
    made = plan(document())
    command = _container(build_prep_job(made)["spec"])["command"]
    assert str(made.settings.config_path / "prep.json") in command


def _container(spec: dict[str, Any]) -> dict[str, Any]:
    container: dict[str, Any]
    (container,) = spec["template"]["spec"]["containers"]
    return container


def test_downloads_leave_the_cluster_as_the_installation_says() -> None:
    made = plan(document())
    names = {"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "HF_ENDPOINT", "QINSTRUCT_MAX_BANDWIDTH"}
    plain = _container(build_prep_job(made)["spec"])["env"]
    assert names.isdisjoint(each["name"] for each in plain)
    settings = replace(
        made.settings,
        prep_proxy="http://proxy.example:3128",
        prep_no_proxy=".example",
        prep_max_bandwidth="50M",
        hub_endpoint="https://hub.example",
    )
    env = _container(build_prep_job(replace(made, settings=settings))["spec"])["env"]
    assert {each["name"]: each["value"] for each in env if each["name"] in names} == {
        "HTTP_PROXY": "http://proxy.example:3128",
        "HTTPS_PROXY": "http://proxy.example:3128",
        "NO_PROXY": ".example",
        "HF_ENDPOINT": "https://hub.example",
        "QINSTRUCT_MAX_BANDWIDTH": "50M",
    }


def test_an_installations_hub_stands_above_that_of_a_secret() -> None:
    made = plan(document(data={"tokenSecretRef": {"name": "qinstruct-hub"}}))
    made = replace(made, settings=replace(made.settings, hub_endpoint="https://hub.example"))
    env = _container(build_prep_job(made)["spec"])["env"]
    assert [each for each in env if each["name"] == "HF_ENDPOINT"] == [
        {"name": "HF_ENDPOINT", "value": "https://hub.example"}
    ]
    assert "HF_TOKEN" in {each["name"] for each in env}


def test_the_job_has_a_deadline_of_the_installation() -> None:
    made = plan(document())
    assert build_prep_job(made)["spec"]["activeDeadlineSeconds"] == 72 * 3600
    short = replace(made, settings=replace(made.settings, prep_hours=0.5))
    assert build_prep_job(short)["spec"]["activeDeadlineSeconds"] == 1800
