"""Volume claims that are not what a run needs: lost, deleted, or kept from an earlier run."""

import json
import time
from typing import Any

import pytest

from cluster.clients.runs import FOR_EVER, Runs
from cluster.harness.processes import wait_until

pytestmark = pytest.mark.cluster

SPEC = {"size": "7B", "strategy": "after"}
MADE_AGAIN = {"PyTorchJob/lost-1", "PersistentVolumeClaim/lost-output"}


def claim(runs: Runs, name: str, size: str, *modes: str, **more: Any) -> None:
    annotations = more.pop("annotations", {})
    spec = {"accessModes": [*modes], "resources": {"requests": {"storage": size}}, **more}
    document = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name, "annotations": annotations},
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
    claim(runs, "mine", "1Ti", "ReadWriteMany", volumeName="none-such", annotations=bound)
    runs.apply("poor", {**SPEC, "output": {"claimName": "mine"}})
    message = runs.wait("poor", "Prepared", "False", "ClaimLost")
    assert "claim mine has lost its volume" in message
    runs.kubectl("delete", "pvc", "mine")
    claim(runs, "mine", "1Ti", "ReadWriteMany")
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
    claim(runs, "kept-output", size, mode, storageClassName=storage_class)
    time.sleep(1.1)  # the server's stamps, by which the two are compared, are whole seconds
    runs.apply("kept", {**SPEC, "output": {"storageClassName": "default"}})
    assert said in runs.wait("kept", "Prepared", "False", "ClaimMismatch")
    assert runs.get("jobs") == []
    runs.kubectl("delete", "pvc", "kept-output")
    runs.wait_phase("kept", "Complete", 90)
