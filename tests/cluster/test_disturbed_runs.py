"""What disturbs a run from outside is in its conditions, and out of them when the cause is gone.

The user must read it within thirty seconds of the cluster's knowing. What only a kubelet would
write into a pod or a node is patched there.
"""

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from cluster.clients.runs import FOR_EVER, STEP, Runs, lines
from cluster.harness.control_plane import KubectlError
from cluster.harness.kwok import PREFIX, Behaviour, a100
from cluster.harness.processes import wait_until
from cluster.harness.testcluster import TestCluster
from qinstruct_operator.core.children.pod import container_security, pod_security

pytestmark = pytest.mark.cluster

SPEC = {"size": "7B", "strategy": "after"}
ONCE = SPEC | {"recovery": {"maxRetries": 0, "maxDisruptions": 0}}
HELD = Behaviour(start_after="100h")
GATE = "example.com/approval"


@pytest.fixture
def doomed(test_cluster: TestCluster) -> Iterator[str]:
    """A node of the test's own; a run asks for it by its rack."""
    node = a100("gpu-doomed", 80)
    node["metadata"]["labels"] |= {"rack": "doomed"}
    test_cluster.kwok.add_nodes(node)
    yield "gpu-doomed"
    test_cluster.kubectl("delete", "node", "gpu-doomed", "--ignore-not-found", "--wait=false")


def on(node: str) -> dict[str, Any]:
    return {**SPEC, "scheduling": {"nodeSelector": {"rack": node.removeprefix("gpu-")}}}


def patch(runs: Runs, name: str, change: dict[str, Any], *options: str) -> None:
    runs.kubectl("patch", *name.split("/"), f"--patch={json.dumps(change)}", *options)


def patch_status(runs: Runs, name: str, **status: Any) -> None:
    patch(runs, name, {"status": status}, "--subresource=status")


def train(runs: Runs, name: str, spec: dict[str, Any] = SPEC, phase: str = "Loading") -> None:
    """Bring a run to where its training pod is in this phase."""
    runs.apply(name, spec)
    runs.wait_phase(name, phase)


def status(runs: Runs, name: str) -> dict[str, Any]:
    return runs.statuses(name)[-1]


def test_a_node_that_is_deleted(runs: Runs, doomed: str) -> None:
    runs.behave("gone", "train", FOR_EVER)
    train(runs, "gone", on(doomed))
    runs.kubectl("delete", "node", doomed)
    message = runs.wait("gone", "Running", "Unknown", "NodeLost")
    assert f"node {doomed} is gone from the cluster" in message
    assert "kubectl delete pod gone-1-master-0 --force" in message
    held = status(runs, "gone")["gpuHours"]
    told = [(one["type"], one["reason"]) for one in runs.get("events")]
    assert ("Warning", "NodeLost") in told

    def is_told() -> bool:
        waits = runs.condition("gone", "Scheduled")["status"] == "False"
        return bool(waits or status(runs, "gone")["phase"] == "Failed")

    wait_until(is_told, "the garbage collector of pods, which takes a minute, has come", 120)
    # Training Operator 1.9 fails the job if it sees the pod fail; if all that it sees is that the
    # pod is gone, it makes it anew, for a node that there is not.
    if status(runs, "gone")["phase"] == "Failed":
        assert "create the run again" in runs.condition("gone", "Failed")["message"]
    assert status(runs, "gone")["gpuHours"] <= held + 0.5


def test_a_node_that_goes_silent_and_comes_back(runs: Runs, doomed: str) -> None:
    runs.behave("lost", "train", FOR_EVER)
    train(runs, "lost", on(doomed))
    runs.kubectl("annotate", "node", doomed, f"{PREFIX}/node-")  # kwok would make it Ready again
    silent = {"reason": "NodeStatusUnknown", "message": "Kubelet stopped posting node status."}
    ready = {"type": "Ready", "status": "Unknown", **silent}
    patch_status(runs, f"node/{doomed}", conditions=[ready])
    message = runs.wait("lost", "Running", "Unknown", "NodeLost")
    assert f"node {doomed} is not Ready since " in message
    assert "(NodeStatusUnknown: Kubelet stopped posting node status)" in message
    held = status(runs, "lost")["gpuHours"]
    runs.kubectl("annotate", "node", doomed, f"{PREFIX}/node=fake")
    patch_status(runs, "pod/lost-1-master-0", conditions=[{"type": "Ready", "status": "True"}])
    runs.wait("lost", "Running", "True", "Loading")
    assert status(runs, "lost")["gpuHours"] >= held
    runs.end_pod("lost", "train")
    runs.wait_phase("lost", "Complete")


def test_a_pod_that_remains_on_a_node_that_does_not_answer(runs: Runs, doomed: str) -> None:
    runs.behave("left", "train", FOR_EVER)
    train(runs, "left", on(doomed) | {"recovery": {"backoffSeconds": 1}})
    runs.kubectl("delete", "pytorchjob", "left-1", "--cascade=orphan")
    assert "let it end" in runs.wait("left", "Scheduled", "False", "PodRemains")
    runs.kubectl("annotate", "node", doomed, f"{PREFIX}/node-")
    silent = {"reason": "NodeStatusUnknown", "message": "Kubelet stopped posting node status."}
    ready = {"type": "Ready", "status": "Unknown", **silent}
    patch_status(runs, f"node/{doomed}", conditions=[ready])

    def says() -> bool:
        said = str(runs.condition("left", "Scheduled")["message"])
        return "left-1-master-0 does not go by itself until that node is back" in said

    wait_until(says, "it says that the pod stays", 30)
    runs.behave("left", "train", Behaviour())
    runs.kubectl("delete", "pod", "left-1-master-0", "--force")
    runs.kubectl("annotate", "node", doomed, f"{PREFIX}/node=fake")
    patch_status(runs, f"node/{doomed}", conditions=[{"type": "Ready", "status": "True"}])
    runs.wait_phase("left", "Complete", 60)


def test_a_container_beside_ours_that_fails(runs: Runs) -> None:
    runs.behave("beside", "train", FOR_EVER)
    train(runs, "beside", ONCE)
    shown = [
        {"name": name, "image": name, "imageID": "", "ready": False, "restartCount": 0}
        | {"state": {"terminated": {"exitCode": code, "reason": "Error", "message": said}}}
        for name, code, said in (("istio-proxy", 1, "no control plane"), ("pytorch", 0, ""))
    ]
    patch_status(runs, "pod/beside-1-master-0", containerStatuses=shown, phase="Failed")
    message = runs.wait("beside", "Failed", "True", "SidecarFailed")
    assert "container istio-proxy of beside-1-master-0 ended with exit code 1" in message
    assert "no control plane" in message
    assert "ours ended well" in message


def test_an_init_container_that_fails(runs: Runs) -> None:
    runs.behave("init", "train", HELD)
    runs.apply("init", ONCE)
    runs.wait("init", "Running", "False", "Starting", 60)

    def say(**state: Any) -> None:
        shown = {"name": "proxy-init", "image": "proxy", "imageID": "", "ready": False}
        shown |= {"restartCount": 0, "state": state}
        patch_status(runs, "pod/init-1-master-0", initContainerStatuses=[shown])

    say(waiting={"reason": "ImagePullBackOff", "message": "Back-off pulling image"})
    message = runs.wait("init", "Running", "False", "ImageUnavailable")
    assert "the image of init container proxy-init of init-1-master-0" in message
    say(running={"startedAt": "2026-03-01T11:30:00Z"})
    assert "since 2026-03-01T11:30:00Z" in runs.wait("init", "Running", "False", "Initializing")
    say(waiting={"reason": "CreateContainerConfigError", "message": 'secret "t" not found'})
    assert 'secret "t" not found' in runs.wait("init", "Running", "False", "Blocked")
    say(terminated={"exitCode": 3, "reason": "Error", "message": "no such rule"})
    patch_status(runs, "pod/init-1-master-0", phase="Failed")
    message = runs.wait("init", "Failed", "True", "InitFailed")
    assert "init container proxy-init of init-1-master-0 ended with exit code 3" in message
    assert "no such rule" in message


def test_an_init_container_that_gets_out_of_the_way(runs: Runs) -> None:
    runs.behave("slow", "train", HELD)
    runs.apply("slow", SPEC)
    runs.wait("slow", "Running", "False", "Starting", 60)
    shown = {"name": "i", "image": "i", "imageID": "", "ready": False, "restartCount": 0}
    running = {"running": {"startedAt": "2026-03-01T11:30:00Z"}}
    patch_status(runs, "pod/slow-1-master-0", initContainerStatuses=[{**shown, "state": running}])
    runs.wait("slow", "Running", "False", "Initializing")
    ended = {"terminated": {"exitCode": 0, "reason": "Completed"}}
    patch_status(runs, "pod/slow-1-master-0", initContainerStatuses=[{**shown, "state": ended}])
    runs.wait("slow", "Running", "False", "Starting")
    runs.end_pod("slow", "train")
    runs.wait_phase("slow", "Complete")


@pytest.fixture
def gated(test_cluster: TestCluster, namespace: str) -> Iterator[None]:
    """Every new pod of the namespace has a scheduling gate."""
    name = {"name": f"gates-{namespace}"}
    here = {"matchLabels": {"kubernetes.io/metadata.name": namespace}}
    pods = {"apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]}
    gates = f'[Object.spec.schedulingGates{{name: "{GATE}"}}]'
    mutation = f"Object{{spec: Object.spec{{schedulingGates: {gates}}}}}"
    group = "admissionregistration.k8s.io/v1"
    test_cluster.api.apply(
        {
            "apiVersion": group,
            "kind": "MutatingAdmissionPolicy",
            "metadata": name,
            "spec": {
                "matchConstraints": {
                    "namespaceSelector": here,
                    "resourceRules": [pods | {"operations": ["CREATE"]}],
                },
                "reinvocationPolicy": "Never",
                "mutations": [
                    {
                        "patchType": "ApplyConfiguration",
                        "applyConfiguration": {"expression": mutation},
                    }
                ],
            },
        },
        {
            "apiVersion": group,
            "kind": "MutatingAdmissionPolicyBinding",
            "metadata": name,
            "spec": {"policyName": name["name"]},
        },
    )
    container = {"name": "probe", "image": "probe", "securityContext": container_security()}
    probe = json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "probe"},
            "spec": {"containers": [container], "securityContext": pod_security()},
        }
    )

    def is_in_force() -> bool:
        command = ("create", "--dry-run=server", "-f", "-", "-o", "yaml")
        return GATE in test_cluster.kubectl(f"--namespace={namespace}", *command, stdin=probe)

    wait_until(is_in_force, "new pods are gated")
    yield
    for kind in ("mutatingadmissionpolicybinding", "mutatingadmissionpolicy"):
        test_cluster.kubectl("delete", kind, name["name"])


def test_a_preempted_run_is_queued_and_admitted_again(runs: Runs) -> None:
    runs.behave("taken", "train", FOR_EVER, logs=lines({**STEP, "step": 430}))
    train(runs, "taken", SPEC | {"scheduling": {"queueName": "gpus"}}, phase="Training")
    time.sleep(10)  # in which eight GPUs are held for more than a hundredth of an hour
    patch(runs, "pytorchjob/taken-1", {"spec": {"runPolicy": {"suspend": True}}}, "--type=merge")
    runs.wait("taken", "Scheduled", "False", "Queued")
    queued = status(runs, "taken")
    assert queued["phase"] == "Queued"
    assert not {"failure", "node", "eta"} & set(queued)
    assert queued["progress"] == "43%"
    assert "samplesPerSecond" not in queued["training"]
    held = queued["gpuHours"]
    # Training Operator 1.9 fails a job that is resumed while a pod of it is still ending.
    runs.kubectl("wait", "--for=delete", "pod/taken-1-master-0", "--timeout=30s")
    patch(runs, "pytorchjob/taken-1", {"spec": {"runPolicy": {"suspend": False}}}, "--type=merge")
    runs.wait("taken", "Running", "True", "Training")
    again = status(runs, "taken")
    assert "failure" not in again
    assert again["node"].startswith("gpu-")
    time.sleep(10)  # its second pod counts as well: at the end, as hours alone are not written
    runs.end_pod("taken", "train")
    runs.wait_phase("taken", "Complete")
    assert "failure" not in status(runs, "taken")
    assert status(runs, "taken")["gpuHours"] > held
    phases = [each.get("phase") for each in runs.statuses("taken")]
    assert "Finished" not in phases[: len(phases) - phases[::-1].index("Queued")]


def test_a_pod_that_does_not_end(runs: Runs) -> None:
    runs.behave("stuck", "train", Behaviour(run_for="100h", term_after="100h"))
    train(runs, "stuck", ONCE)
    runs.kubectl("delete", "pod", "stuck-1-master-0", "--grace-period=2", "--wait=false")
    runs.wait("stuck", "Running", "False", "Stopping")
    message = runs.wait("stuck", "Running", "False", "Stuck", 35)
    assert "kubectl delete pod stuck-1-master-0 --force" in message
    runs.kubectl("delete", "pod", "stuck-1-master-0", "--force", "--grace-period=0")
    runs.wait_phase("stuck", "Failed")


def test_a_prep_job_that_nobody_sees(test_cluster: TestCluster, runs: Runs) -> None:
    test_cluster.stop_program("kube-controller-manager")
    try:
        runs.apply("unseen", SPEC)
        message = runs.wait("unseen", "Prepared", "False", "NoController")
        assert "unseen-prep has no pod and no status since " in message
    finally:
        test_cluster.start_program("kube-controller-manager")
    runs.wait_phase("unseen", "Complete", 90)


def test_a_training_operator_that_dies_before_the_end(
    test_cluster: TestCluster, runs: Runs
) -> None:
    """It was heard of, and its last status says that the pod runs."""
    runs.behave("orphan", "train", FOR_EVER)
    train(runs, "orphan")
    test_cluster.stop_program("training-operator")
    try:
        runs.end_pod("orphan", "train")
        message = runs.wait("orphan", "Running", "False", "NoController", 180)
        assert message.startswith("orphan-1-master-0 has ended, and nothing has changed since ")
        assert "see that the training-operator runs" in message
    finally:
        test_cluster.start_program("training-operator")
    runs.wait_phase("orphan", "Complete", 90)


def test_an_attempt_that_somebody_types_makes_no_second_workload(runs: Runs) -> None:
    runs.behave("typed", "train", FOR_EVER)
    train(runs, "typed")

    def stored() -> dict[str, Any]:
        (run,) = runs.get("qit")
        found: dict[str, Any] = {"attempt": None} | run["status"]
        return found

    def write(**status: Any) -> None:
        patch(runs, "qit/typed", {"status": status}, "--subresource=status", "--type=merge")

    for typed in (2, 99999, None):
        write(attempt=typed)
        wait_until(lambda: stored()["attempt"] == 1, "it is mended", 30)
    with pytest.raises(KubectlError, match="attempt"):
        write(attempt=100000)
    assert runs.names("pytorchjob") == {"PyTorchJob/typed-1"}
    when = "9999-12-31T23:59:59Z"
    typed_in = [each | {"lastTransitionTime": when} for each in stored()["conditions"]]
    write(conditions=typed_in)
    wait_until(lambda: when not in str(stored()), "its times are mended", 30)


def test_a_prep_job_that_somebody_deletes(runs: Runs) -> None:
    runs.behave("held", "prep", FOR_EVER)
    runs.apply("held", SPEC)
    runs.wait_phase("held", "Preparing")
    hold = {"metadata": {"finalizers": ["example.com/hold"]}}
    patch(runs, "job/held-prep", hold, "--type=merge")
    runs.behave("held", "prep")
    runs.kubectl("delete", "job", "held-prep", "--wait=false")
    assert "example.com/hold" in runs.wait("held", "Prepared", "False", "Deleting")
    patch(runs, "job/held-prep", {"metadata": {"finalizers": None}}, "--type=merge")
    runs.wait_phase("held", "Complete", 90)


def test_a_refusal_outlives_its_event(runs: Runs) -> None:
    runs.kubectl("create", "quota", "no-pods", "--hard=pods=0")
    runs.apply("over", SPEC)
    runs.wait("over", "Prepared", "False", "PodRefused")
    runs.kubectl("delete", "events", "--all")
    before = len(runs.statuses("over"))
    patch(runs, "job/over-prep", {"metadata": {"annotations": {"touched": "yes"}}})
    runs.kubectl("delete", "events", "--all")
    reasons = {
        each["reason"]
        for one in runs.statuses("over")[before - 1 :]
        for each in one["conditions"]
        if each["type"] == "Prepared"
    }
    assert reasons == {"PodRefused"}
    runs.kubectl("delete", "quota", "no-pods")
    runs.wait_phase("over", "Complete", 90)


@pytest.mark.usefixtures("gated")
def test_a_pod_with_a_scheduling_gate(runs: Runs) -> None:
    runs.apply("gated", SPEC)
    assert GATE in runs.wait("gated", "Prepared", "False", "Gated")
    open_gates(runs)
    assert GATE in runs.wait("gated", "Scheduled", "False", "Gated", 60)
    open_gates(runs)
    runs.wait_phase("gated", "Complete")


def open_gates(runs: Runs) -> None:
    opened = json.dumps([{"op": "remove", "path": "/spec/schedulingGates"}])
    for pod in runs.get("pods"):
        if pod["spec"].get("schedulingGates"):
            name = pod["metadata"]["name"]
            runs.kubectl("patch", "pod", name, "--type=json", f"--patch={opened}")
