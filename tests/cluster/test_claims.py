"""Volume claims that are not what a run needs: lost, deleted, or kept from an earlier run."""

import json
import time
from typing import Any

import pytest

from cluster.clients.runs import FOR_EVER, Runs
from cluster.harness.kwok import Behaviour
from cluster.harness.processes import wait_until
from qinstruct_operator.constants import FIELD_MANAGER, LABEL_MANAGED_BY, LABEL_RUN, LABEL_USE

pytestmark = pytest.mark.cluster

SPEC = {"size": "7B", "strategy": "after"}
FOR_OUTPUT = {LABEL_USE: "output"}
KEPT = {LABEL_MANAGED_BY: FIELD_MANAGER, LABEL_RUN: "kept"}
MADE_AGAIN = {"PyTorchJob/lost-1", "PersistentVolumeClaim/lost-output"}


def claim(runs: Runs, name: str, size: str, *modes: str, **more: Any) -> None:
    annotations, labels = more.pop("annotations", {}), more.pop("labels", {})
    spec = {"accessModes": [*modes], "resources": {"requests": {"storage": size}}, **more}
    document = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name, "annotations": annotations, "labels": labels},
        "spec": spec,
    }
    runs.kubectl("apply", "-f", "-", stdin=json.dumps(document))


def test_a_claim_that_is_deleted_after_preparation(runs: Runs) -> None:
    """Only the prep pod that has ended protects it still; an empty one is of no use."""
    runs.behave("lost", "train", FOR_EVER)
    nowhere = SPEC | {"scheduling": {"nodeSelector": {"zone": "nowhere"}}}
    runs.apply("lost", nowhere)
    runs.wait_phase("lost", "Unschedulable")
    runs.kubectl("delete", "pvc", "lost-output", "--wait=false")
    message = runs.wait("lost", "Scheduled", "False", "ClaimLost", 40)
    assert message.startswith("claim lost-output is being deleted since ")
    runs.kubectl("delete", "job,pytorchjob", "--all")
    wait_until(lambda: not runs.names("pytorchjob,pvc") & MADE_AGAIN, "both are gone", 40)
    time.sleep(5)  # in which it would be made again
    assert not runs.names("pytorchjob,pvc") & MADE_AGAIN
    gone = "claim lost-output is gone, "
    wait_until(lambda: gone in runs.condition("lost", "Scheduled")["message"], gone, 40)
    runs.kubectl("delete", "qit", "lost")
    runs.apply("lost", SPEC)
    runs.wait_phase("lost", "Loading")


def test_a_claim_that_has_lost_its_volume(runs: Runs) -> None:
    bound = {"pv.kubernetes.io/bind-completed": "yes"}
    lost = {"volumeName": "none-such", "annotations": bound}
    claim(runs, "mine", "1Ti", "ReadWriteMany", labels=FOR_OUTPUT, **lost)
    runs.apply("poor", {**SPEC, "output": {"claimName": "mine"}})
    message = runs.wait("poor", "Prepared", "False", "ClaimLost")
    assert "claim mine has lost its volume" in message
    runs.kubectl("delete", "pvc", "mine")
    claim(runs, "mine", "1Ti", "ReadWriteMany", labels=FOR_OUTPUT)
    runs.wait_phase("poor", "Complete", 90)


@pytest.mark.parametrize(
    ("size", "mode", "storage_class", "said"),
    [
        ("1Gi", "ReadWriteMany", "default", "has 1Gi where "),
        ("9Ti", "ReadWriteOnce", "default", "has access mode ReadWriteOnce, not ReadWriteMany"),
        ("9Ti", "ReadWriteMany", "old", "has storage class old, not spec.output.storageClassName"),
    ],
)
def test_a_kept_claim_that_is_not_what_is_asked_for(
    runs: Runs, size: str, mode: str, storage_class: str, said: str
) -> None:
    claim(runs, "kept-output", size, mode, storageClassName=storage_class, labels=KEPT)
    time.sleep(1.1)  # the server's stamps, by which the two are compared, are whole seconds
    runs.apply("kept", {**SPEC, "output": {"storageClassName": "default"}})
    assert said in runs.wait("kept", "Prepared", "False", "ClaimMismatch")
    assert runs.get("jobs") == []
    runs.kubectl("delete", "pvc", "kept-output")
    runs.wait_phase("kept", "Complete", 90)


@pytest.mark.parametrize(
    ("spec", "use"), [({"data": {}}, "cache"), ({"output": {}}, "output")], ids=str
)
def test_a_claim_that_nobody_gave_to_runs(runs: Runs, spec: dict[str, Any], use: str) -> None:
    """No pod mounts it until its label says so."""
    claim(runs, "database", "9Ti", "ReadWriteMany")
    (group,) = spec
    runs.apply("greedy", {**SPEC, group: {"claimName": "database"}})
    message = runs.wait("greedy", "Prepared", "False", "ClaimNotAllowed")
    assert runs.names("jobs,pytorchjobs,pods") == set()
    command = message.partition("`kubectl ")[2].partition("`")[0]
    assert command.endswith(f"{LABEL_USE}={use}")
    runs.kubectl(*command.split())
    runs.wait_phase("greedy", "Complete", 90)


def test_a_label_that_is_removed_while_data_are_prepared(runs: Runs) -> None:
    """No training is made until the claim is given again."""
    claim(runs, "mine", "9Ti", "ReadWriteMany", labels=FOR_OUTPUT)
    runs.behave("revoked", "prep", Behaviour(run_for="8s"))
    runs.apply("revoked", {**SPEC, "output": {"claimName": "mine"}})
    runs.wait_phase("revoked", "Preparing")
    runs.kubectl("label", "pvc", "mine", f"{LABEL_USE}-")
    message = runs.wait("revoked", "Scheduled", "False", "ClaimNotAllowed", 60)
    assert message.startswith("claim mine is not said to be for runs")
    assert runs.get("pytorchjobs") == []
    runs.kubectl("label", "pvc", "mine", f"{LABEL_USE}=output")
    runs.wait_phase("revoked", "Complete", 90)


def test_another_runs_output_is_never_used(runs: Runs) -> None:
    runs.apply("first", SPEC)
    runs.wait_phase("first", "Complete", 90)
    runs.apply("thief", {**SPEC, "output": {"claimName": "first-output"}})
    message = runs.wait("thief", "Prepared", "False", "ClaimNotAllowed")
    assert message == "claim first-output is the output of run first; name another claim"
    assert "Job/thief-prep" not in runs.names("jobs")
