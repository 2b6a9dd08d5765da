"""A failure of a run is in its conditions: the message of the cluster, and what to do.

The user must read it within thirty seconds of the fault.
"""

import json
import re

import pytest

from cluster.clients.runs import FOR_EVER, Runs, lines
from cluster.harness.kwok import Behaviour
from cluster.harness.kwok_helper import POD_UID

pytestmark = pytest.mark.cluster

SPEC = {"size": "7B", "strategy": "after"}
ONCE = SPEC | {"recovery": {"maxRetries": 0, "maxDisruptions": 0}}
"""The first failure is the run's; test_attempts.py has what follows otherwise."""
BAD_DATA = {
    "event": "failed",
    "reason": "BadData",
    "message": "record 7 of cleaned_labels.json has no image; mend it, or use missingImages: Drop",
    "exit_code": 65,
}


def test_bad_data_fail_the_run_at_once(runs: Runs) -> None:
    output = lines({"event": "prep", "stage": "gate", "item": "q", "done": 1, "total": 2,
                    "unit": "records"}, BAD_DATA)  # fmt: skip
    runs.behave("bad", "prep", Behaviour(exit_code=65, message=output[-1]), logs=output)
    runs.apply("bad", SPEC)
    assert runs.wait("bad", "Failed", "True", "BadData") == BAD_DATA["message"]
    assert runs.wait("bad", "Prepared", "False", "Failed") == BAD_DATA["message"]
    failure = runs.statuses("bad")[-1]["failure"]
    assert (failure["exitCode"], failure["reason"]) == (65, "BadData")
    (pod,) = runs.get("pods")
    assert failure["logTail"].replace(pod["metadata"]["uid"], POD_UID).splitlines() == output
    assert "attempt" not in failure
    assert runs.get("pytorchjobs") == []


def test_a_trainer_that_dies_without_an_event(runs: Runs) -> None:
    log = ["Traceback (most recent call last):", "RuntimeError: CUDA error: unspecified"]
    runs.behave("dead", "train", Behaviour(exit_code=1), logs=log)
    runs.apply("dead", ONCE)
    message = runs.wait("dead", "Failed", "True", "Error")
    assert "dead-1-master-0 ended with exit code 1: RuntimeError: CUDA error" in message
    assert "qinstruct logs" in message
    failure = runs.statuses("dead")[-1]["failure"]
    assert (failure["exitCode"], failure["attempt"]) == (1, 1)
    assert failure["logTail"] == "\n".join(log)
    assert runs.condition("dead", "Complete")["status"] == "False"


def test_a_last_word_that_a_trainer_has_not_written(runs: Runs) -> None:
    """As a name in its data could print it; the kubelet takes the log's end for the last word."""
    forged = json.dumps({**json.loads(lines(BAD_DATA)[0]), "writer": "another"})
    runs.behave("lied", "train", Behaviour(exit_code=1), logs=[forged, forged])
    runs.apply("lied", ONCE)
    message = runs.wait("lied", "Failed", "True", "Error")
    assert message.startswith("lied-1-master-0 ended with exit code 1; ")


def test_a_trainer_that_is_out_of_memory(runs: Runs) -> None:
    runs.behave("huge", "train", Behaviour(exit_code=137, reason="OOMKilled"))
    runs.apply("huge", SPEC)
    message = runs.wait("huge", "Failed", "True", "OutOfMemory")
    assert "exit code 137 (OOMKilled)" in message
    assert "spec.training.microBatchSize" in message


def test_an_evicted_trainer(runs: Runs) -> None:
    runs.behave("away", "train", Behaviour(exit_code=137, pod_reason="Evicted"))
    runs.apply("away", ONCE)
    assert "(Evicted)" in runs.wait("away", "Failed", "True", "Evicted")


@pytest.mark.parametrize(
    ("word", "reason", "way_out"),
    [
        ("OutOfnvidia.com/gpu", "NodeFull", "something else had taken the place"),
        ("UnexpectedAdmissionError", "UnexpectedAdmissionError", "device plugin"),
        ("NodeAffinity", "NodeAffinity", "spec.scheduling.nodeSelector"),
        ("PodOSNotSupported", "NodeRefused", "create the run again"),
    ],
)
def test_a_pod_that_its_kubelet_refuses(runs: Runs, word: str, reason: str, way_out: str) -> None:
    runs.behave("full", "train", Behaviour(start_after="100h"))
    runs.apply("full", ONCE)
    runs.wait("full", "Running", "False", "Starting", 60)
    refused = {"phase": "Failed", "reason": word, "message": "Pod was rejected: no"}
    patch = json.dumps({"status": refused | {"containerStatuses": None}})
    runs.kubectl(
        "patch", "pod", "full-1-master-0", "--subresource=status", "--type=merge", "-p", patch
    )
    message = runs.wait("full", "Failed", "True", reason)
    assert f"refused full-1-master-0 ({word}): Pod was rejected: no; " in message
    assert way_out in message
    assert "create the run again" in message
    assert "qinstruct logs" not in message


def test_no_node_fits_the_training_pod(runs: Runs) -> None:
    runs.apply("lost", {**SPEC, "scheduling": {"nodeSelector": {"rack": "nowhere"}}})
    message = runs.wait("lost", "Scheduled", "False", "Unschedulable")
    # How many nodes there are is no affair of this test.
    assert re.search(r"0/(\d+) nodes are available: \1 node\(s\) didn't match Pod's node", message)
    assert "qinstruct plan" in message
    assert runs.condition("lost", "Prepared")["status"] == "True"


@pytest.mark.parametrize(("component", "condition"), [("prep", "Prepared"), ("train", "Running")])
def test_an_image_that_cannot_be_pulled(runs: Runs, component: str, condition: str) -> None:
    runs.behave("image", component, Behaviour(pull_error=True))
    runs.apply("image", SPEC)
    message = runs.wait("image", condition, "False", "ImageUnavailable")
    image = {"prep": "ghcr.io/qinstruct/prep", "train": "ghcr.io/qinstruct/trainer"}[component]
    assert image in message
    assert "not found" in message
    assert "QINSTRUCT_TRAINER_IMAGE" in message
    (event,) = (
        one
        for one in runs.get("events")
        if one["reason"] == "ImageUnavailable" and one["involvedObject"]["name"] == "image"
    )
    assert (event["type"], event["message"]) == ("Warning", message)


def test_prep_with_a_temporary_failure_is_retried(runs: Runs) -> None:
    runs.behave("shaky", "prep", Behaviour(exit_code=69), logs=["no route to host"])
    runs.apply("shaky", SPEC)
    message = runs.wait("shaky", "Prepared", "False", "Retrying")
    assert "exit code 69: no route to host" in message
    runs.behave("shaky", "prep", Behaviour())
    runs.wait_phase("shaky", "Complete", 90)


def test_a_quota_that_refuses_the_pod(runs: Runs) -> None:
    runs.kubectl("create", "quota", "no-pods", "--hard=pods=0")
    runs.apply("over", SPEC)
    message = runs.wait("over", "Prepared", "False", "PodRefused")
    assert "exceeded quota: no-pods" in message
    runs.kubectl("delete", "quota", "no-pods")
    runs.wait_phase("over", "Complete", 90)


def test_a_quota_that_refuses_a_child(runs: Runs) -> None:
    runs.kubectl("create", "quota", "no-jobs", "--hard=count/jobs.batch=0")
    runs.apply("over", SPEC)
    message = runs.wait("over", "Prepared", "False", "Refused")
    assert "create Job" in message
    assert "exceeded quota: no-jobs" in message
    runs.kubectl("delete", "quota", "no-jobs")
    runs.wait_phase("over", "Complete", 90)


def test_a_claim_that_is_never_bound(runs: Runs) -> None:
    runs.apply("dry", {**SPEC, "output": {"storageClassName": "none-such"}})
    message = runs.wait("dry", "Prepared", "False", "ClaimPending")
    assert (
        "claim dry-output is not bound: ProvisioningFailed: storageclass.storage.k8s.io" in message
    )
    assert "spec.output.storageClassName" in message


def test_a_spec_that_only_the_plan_can_refuse(runs: Runs) -> None:
    runs.apply("wrong", {**SPEC, "training": {"microBatchSize": 48}})
    message = runs.wait("wrong", "Accepted", "False", "InvalidSpec")
    assert message.startswith("spec.training.microBatchSize 48: ")
    assert runs.statuses("wrong")[-1]["phase"] == "Rejected"
    assert runs.get("jobs") == []


def test_a_field_that_is_not_supported_yet_does_not_stop_a_run(runs: Runs) -> None:
    """While it trains the server refuses the edit: see test_changes_under_way.py."""
    runs.behave("on", "prep", FOR_EVER)
    runs.apply("on", SPEC)
    runs.wait_phase("on", "Preparing")
    patch = ("patch", "qit", "on", "--type=merge", "--patch")
    runs.kubectl(*patch, '{"spec":{"budget":{"maxGpuHours":9}}}')
    message = runs.wait("on", "Accepted", "False", "InvalidSpec")
    assert message.startswith("spec.budget.maxGpuHours")
    assert runs.condition("on", "Prepared")["reason"] == "Preparing"
    runs.kubectl(*patch, '{"spec":{"budget":null}}')
    runs.wait("on", "Accepted", "True", "Accepted")
    runs.end_pod("on", "prep")
    runs.wait_phase("on", "Complete")
    conditions = runs.statuses("on")[-1]["conditions"]
    assert {condition["observedGeneration"] for condition in conditions} == {3}
