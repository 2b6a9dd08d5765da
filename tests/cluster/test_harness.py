"""The test cluster works as its tests assume: real controllers, and fake nodes as configured."""

import json
import os
import random
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from cluster.harness.control_plane import KubectlError
from cluster.harness.kwok import Behaviour
from cluster.harness.processes import Processes, free_port, wait_until
from cluster.harness.testcluster import TestCluster

pytestmark = pytest.mark.cluster

_RESTRICTED = {
    "runAsNonRoot": True,
    "runAsUser": 1000,
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}


def _pytorchjob(namespace: str, labels: dict[str, str] | None = None, **spec: Any) -> str:
    container = {
        "name": "pytorch",
        "image": "example.com/trainer:1",
        "resources": {"limits": {"nvidia.com/gpu": "8"}},
        "securityContext": _RESTRICTED,
    }
    pod = {
        "containers": [container],
        "nodeSelector": {"nvidia.com/gpu.product": "NVIDIA-A100-SXM4-80GB"},
        "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists"}],
    }
    template = {"metadata": {"labels": labels or {}}, "spec": pod | spec}
    master = {"replicas": 1, "restartPolicy": "Never", "template": template}
    policy = {"cleanPodPolicy": "None", "backoffLimit": 0}
    manifest = {
        "apiVersion": "kubeflow.org/v1",
        "kind": "PyTorchJob",
        "metadata": {"name": "x", "namespace": namespace},
        "spec": {"runPolicy": policy, "pytorchReplicaSpecs": {"Master": master}},
    }
    return json.dumps(manifest)


def _labels(run: str) -> dict[str, str]:
    return {"qinstruct.dev/run": run, "app.kubernetes.io/component": "train"}


def _get(cluster: TestCluster, namespace: str, *what: str) -> Any:
    return json.loads(cluster.kubectl("get", f"--namespace={namespace}", "-o", "json", *what))


def _container_state(cluster: TestCluster, namespace: str) -> Any:
    status = _get(cluster, namespace, "pod", "x-master-0")["status"]
    return status["containerStatuses"][0]["state"]


def _wait(cluster: TestCluster, namespace: str, condition: str) -> None:
    cluster.kubectl(
        *("wait", f"--for={condition}", "--timeout=30s", f"--namespace={namespace}"),
        "pytorchjob/x",
    )


def test_pytorchjob_runs_on_a_fake_node(test_cluster: TestCluster, namespace: str) -> None:
    test_cluster.kubectl("apply", "-f", "-", stdin=_pytorchjob(namespace))
    _wait(test_cluster, namespace, "condition=Succeeded")
    conditions = _get(test_cluster, namespace, "pytorchjob", "x")["status"]["conditions"]
    assert [one["type"] for one in conditions] == ["Created", "Running", "Succeeded"]
    pod = _get(test_cluster, namespace, "pod", "x-master-0")
    assert pod["spec"]["nodeName"].startswith("gpu-80-")
    assert pod["status"]["phase"] == "Succeeded"


def test_behaviour_by_run_and_component(test_cluster: TestCluster, namespace: str) -> None:
    lines = ["step 1", "{{ no template }}", 'CUDA out of memory "now"']
    behaviour = Behaviour(run_for="200ms", exit_code=137, reason="OOMKilled")
    test_cluster.kwok.behave("oom", "train", behaviour, logs=lines)
    manifest = _pytorchjob(namespace, _labels("oom"))
    test_cluster.kubectl("apply", "-f", "-", stdin=manifest)
    _wait(test_cluster, namespace, "condition=Failed")
    ended = _container_state(test_cluster, namespace)["terminated"]
    assert (ended["exitCode"], ended["reason"]) == (137, "OOMKilled")
    assert ended["message"] == "\n".join(lines)
    logs = ("logs", "x-master-0", f"--namespace={namespace}")
    assert test_cluster.kubectl(*logs).splitlines() == lines
    assert test_cluster.kubectl(*logs, "--tail=1").splitlines() == lines[-1:]


def test_most_specific_behaviour_wins(test_cluster: TestCluster, namespace: str) -> None:
    evicted = Behaviour(run_for="200ms", exit_code=143, pod_reason="Evicted", disruption="Test")
    test_cluster.kwok.behave("configured", "train", Behaviour(run_for="100h"))
    test_cluster.kwok.behave("configured", "train", Behaviour(run_for="90h"), namespace=namespace)
    test_cluster.kwok.behave("configured", "train", evicted, namespace=namespace, attempt=2)
    labels = _labels("configured") | {"qinstruct.dev/attempt": "2"}
    test_cluster.kubectl("apply", "-f", "-", stdin=_pytorchjob(namespace, labels))
    _wait(test_cluster, namespace, "condition=Failed")
    status = _get(test_cluster, namespace, "pod", "x-master-0")["status"]
    assert (status["phase"], status["reason"]) == ("Failed", "Evicted")
    conditions = {one["type"]: one.get("reason") for one in status["conditions"]}
    assert conditions["DisruptionTarget"] == "Test"


def test_log_is_followed_until_the_container_ends(
    test_cluster: TestCluster, namespace: str
) -> None:
    behaviour = Behaviour(run_for="100h")
    test_cluster.kwok.behave("follow", "train", behaviour, namespace=namespace, logs=["one"])
    manifest = _pytorchjob(namespace, _labels("follow"))
    test_cluster.kubectl("apply", "-f", "-", stdin=manifest)
    _wait(test_cluster, namespace, "condition=Running")

    def go_on() -> None:
        test_cluster.kwok.log("follow", "train", "two", namespace=namespace)
        test_cluster.kwok.change("x-master-0", namespace, Behaviour(run_for="300ms"))

    later = threading.Timer(0.5, go_on)
    later.start()
    said = test_cluster.kubectl("logs", "--follow", "x-master-0", f"--namespace={namespace}")
    later.join()
    assert said.splitlines() == ["one", "two"]


def test_image_that_does_not_exist(test_cluster: TestCluster, namespace: str) -> None:
    test_cluster.kwok.behave("pull", "train", Behaviour(pull_error=True), namespace=namespace)
    manifest = _pytorchjob(namespace, _labels("pull"))
    test_cluster.kubectl("apply", "-f", "-", stdin=manifest)
    path = "jsonpath={.status.containerStatuses[0].state.waiting.reason}=ImagePullBackOff"
    wait = ("wait", f"--for={path}", "--timeout=30s", f"--namespace={namespace}")
    wait_until(lambda: bool(_get(test_cluster, namespace, "pods")["items"]), "the pod exists")
    test_cluster.kubectl(*wait, "pod/x-master-0")
    waiting = _container_state(test_cluster, namespace)["waiting"]
    assert "example.com/trainer:1: not found" in waiting["message"]
    with pytest.raises(KubectlError, match="waiting to start"):
        test_cluster.kubectl("logs", "x-master-0", f"--namespace={namespace}")


def test_containers_of_a_deleted_pod_end_before_it_is_gone(
    test_cluster: TestCluster, namespace: str
) -> None:
    behaviour = Behaviour(run_for="100h", term_exit_code=75)
    test_cluster.kwok.behave("term", "train", behaviour, namespace=namespace)
    test_cluster.kubectl("apply", "-f", "-", stdin=_pytorchjob(namespace, _labels("term")))
    _wait(test_cluster, namespace, "condition=Running")
    pod = ("pod", "x-master-0", f"--namespace={namespace}")
    hold = ("--type=merge", '--patch={"metadata": {"finalizers": ["example.com/hold"]}}')
    release = ("--type=merge", '--patch={"metadata": {"finalizers": null}}')
    test_cluster.kubectl("patch", *pod, *hold)  # so that its end can be read
    test_cluster.kubectl("delete", *pod, "--wait=false")
    wait_until(lambda: "terminated" in _container_state(test_cluster, namespace), "it ended")
    ended = _container_state(test_cluster, namespace)["terminated"]
    test_cluster.kubectl("patch", *pod, *release)
    assert ended["exitCode"] == 75
    test_cluster.kubectl("wait", *pod, "--for=delete", "--timeout=30s")


def test_claim_gets_a_volume_that_is_deleted_with_it(
    test_cluster: TestCluster, namespace: str
) -> None:
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "data", "namespace": namespace},
        "spec": {
            "accessModes": ["ReadWriteMany"],
            "resources": {"requests": {"storage": "190Gi"}},
        },
    }
    volume = {"name": "data", "persistentVolumeClaim": {"claimName": "data"}}
    manifest = _pytorchjob(namespace, volumes=[volume])
    test_cluster.kubectl("apply", "-f", "-", stdin=json.dumps(claim))
    test_cluster.kubectl("apply", "-f", "-", stdin=manifest)
    _wait(test_cluster, namespace, "condition=Succeeded")
    bound = _get(test_cluster, namespace, "pvc", "data")
    assert bound["status"]["capacity"]["storage"] == "190Gi"
    test_cluster.kubectl("delete", "pytorchjob/x", "pvc/data", f"--namespace={namespace}")
    name = bound["spec"]["volumeName"]
    test_cluster.kubectl("wait", "--for=delete", "--timeout=30s", f"pv/{name}")


def test_pod_that_is_not_restricted_is_refused(test_cluster: TestCluster, namespace: str) -> None:
    with pytest.raises(KubectlError, match="violates PodSecurity"):
        test_cluster.kubectl("run", "x", "--image=x", f"--namespace={namespace}")


def test_webhook_refuses_a_job_without_its_container(
    test_cluster: TestCluster, namespace: str
) -> None:
    manifest = _pytorchjob(namespace).replace('"name": "pytorch"', '"name": "other"')
    with pytest.raises(KubectlError, match="at least one container with name pytorch"):
        test_cluster.kubectl("apply", "-f", "-", stdin=manifest)


def test_requests_with_a_token_are_audited(test_cluster: TestCluster, namespace: str) -> None:
    token = test_cluster.api.token(namespace, "default")
    kubeconfig = f"--kubeconfig={test_cluster.api.kubeconfig_for(token)}"
    with pytest.raises(KubectlError, match="Forbidden"):
        test_cluster.kubectl("get", "pods", f"--namespace={namespace}", kubeconfig)
    assert ("list", "", "pods") in test_cluster.api.audit_requests(token)
    other = test_cluster.api.token(namespace, "default")
    assert test_cluster.api.audit_requests(other) == set()


def test_api_server_comes_back_after_a_kill(test_cluster: TestCluster, namespace: str) -> None:
    manifest = _pytorchjob(namespace, _labels("bounce"))
    test_cluster.kwok.behave("bounce", "train", Behaviour(run_for="100h"), namespace=namespace)
    test_cluster.kubectl("apply", "-f", "-", stdin=manifest)
    _wait(test_cluster, namespace, "condition=Running")
    test_cluster.bounce("kube-apiserver")
    test_cluster.kwok.change("x-master-0", namespace, Behaviour(run_for="100ms"))
    _wait(test_cluster, namespace, "condition=Succeeded")


def test_programs_die_with_the_process_that_started_them(tmp_path: Path) -> None:
    script = (
        "import time; from pathlib import Path; from cluster.harness.processes import Processes\n"
        f"made = Processes(Path({str(tmp_path)!r})); made.start('sleep', ['sleep', '1000'])\n"
        "print(made.pid('sleep'), flush=True); time.sleep(1000)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])},
        stdout=subprocess.PIPE,
        text=True,
    ) as starter:
        assert starter.stdout is not None
        program = Path("/proc") / starter.stdout.readline().strip()
        assert program.exists()
        starter.kill()
    wait_until(lambda: not program.exists(), "the program is gone")


def test_a_port_is_given_once_though_nobody_listens_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    given = free_port()
    drawn = iter([given, *range(given + 1, given + 100)])
    monkeypatch.setattr(random, "randrange", lambda *_: next(drawn))
    assert free_port() > given


def test_program_that_ends_at_once_says_why(tmp_path: Path) -> None:
    processes = Processes(tmp_path)
    with pytest.raises(RuntimeError, match="x ended: no good"):
        processes.start("x", ["sh", "-c", "echo no good; exit 3"], ready=lambda: False)
    processes.close()
