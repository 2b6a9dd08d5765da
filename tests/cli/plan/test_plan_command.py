"""The nodes of `qinstruct plan`, before an in-memory cluster or none."""

import json
import socket
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from qinstruct_operator.cli import main
from qinstruct_operator.cli.plan import plan_command
from qinstruct_operator.cluster.port import Resource
from qinstruct_operator.errors import ClusterError, Forbidden
from qinstruct_operator.kinds import NODE
from qinstruct_trainer.contract.errors import EXIT_OK
from support.cli_cluster import EVIL, TEAM, UNREACHABLE, CommandLine, add
from support.fake_cluster import FakeCluster
from support.operator_documents import SAMPLES


@pytest.fixture
def cluster() -> FakeCluster:
    return FakeCluster(namespace=TEAM)


@pytest.fixture
def qinstruct(monkeypatch: pytest.MonkeyPatch, cluster: FakeCluster) -> CommandLine:
    return CommandLine(monkeypatch, cluster)


PLAN = ("plan", str(SAMPLES / "run-13b-after.yaml"))


def gpu_node(name: str, gigabytes: int, **spec: Any) -> dict[str, Any]:
    labels = {
        "nvidia.com/gpu.product": f"NVIDIA-A100-SXM4-{gigabytes}GB",
        "nvidia.com/gpu.memory": str(gigabytes * 1024),
        "nvidia.com/gpu.count": "8",
        "nvidia.com/gpu.family": "ampere",
    }
    node = cpu_node(name, labels)
    node["spec"] = {"taints": [{"key": "nvidia.com/gpu", "effect": "NoSchedule"}], **spec}
    node["status"]["allocatable"] |= {"nvidia.com/gpu": "8"}
    return node


def cpu_node(name: str, labels: dict[str, str] | None = None) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": labels or {}},
        "spec": {},
        "status": {
            "allocatable": {"cpu": "96", "memory": "1100Gi"},
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    }


def add_nodes(cluster: FakeCluster, *nodes: Resource) -> None:
    for node in nodes:
        add(cluster, {key: value for key, value in node.items() if key != "status"})
        cluster.edit(NODE, None, node["metadata"]["name"], partial(_set_status, node["status"]))


def _set_status(written: Resource, found: Resource) -> None:
    found["status"] = written


@pytest.fixture
def kubeconfig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "config"
    file.write_text("{}")
    monkeypatch.setenv("KUBECONFIG", str(file))
    return file


@pytest.mark.usefixtures("kubeconfig")
def test_plan_says_which_nodes_can_ever_fit(
    qinstruct: CommandLine, cluster: FakeCluster, capsys: pytest.CaptureFixture[str]
) -> None:
    add_nodes(
        cluster,
        gpu_node("gpu-b", 80, unschedulable=True),
        gpu_node("gpu-a", 80),
        *(gpu_node(f"small-{number}", 40) for number in range(10)),
        cpu_node("cpu-0"),
        cpu_node("cpu-1"),
    )
    assert qinstruct(*PLAN, "--context", "far") == EXIT_OK
    shown = capsys.readouterr().out
    nodes = [line.rstrip() for line in shown[shown.index("\nNodes\n") :].splitlines()[2:]]
    assert nodes[:3] == [
        "training pod     2 of 14 nodes can ever fit: gpu-a, gpu-b (cordoned)",
        "                 10 cannot: 40 GB GPUs (NVIDIA-A100-SXM4-40GB), the run needs 80 GB: "
        "small-0, small-1, small-2, small-3, small-4, small-5 and 4 more",
        "                 2 cannot: offers no GPUs: cpu-0, cpu-1",
    ]
    assert nodes[3] == "preparation pod  2 of 14 nodes can ever fit: cpu-0, cpu-1"
    assert "warning: no node" not in shown
    assert qinstruct.contexts == ["far"]


@pytest.mark.usefixtures("kubeconfig")
def test_plan_warns_where_no_node_ever_fits(
    qinstruct: CommandLine, cluster: FakeCluster, capsys: pytest.CaptureFixture[str]
) -> None:
    kinds = [gpu_node(f"n-{number}", 10 + number) for number in range(12)]
    add_nodes(cluster, *kinds, cpu_node("cpu-0", {"x": EVIL}))
    assert qinstruct(*PLAN) == EXIT_OK
    shown = capsys.readouterr().out
    assert "training pod     0 of 13 nodes can ever fit " in shown
    assert "5 cannot, for other reasons: " in shown
    assert "warning: no node of this cluster can ever run the training pod" in shown
    assert "can ever run the preparation pod" not in shown


@pytest.mark.usefixtures("kubeconfig")
@pytest.mark.parametrize(
    ("error", "why"),
    [
        (Forbidden("list nodes: no", status=403), "list nodes: no; ask for a role"),
        (UNREACHABLE, "no answer from https://cluster.example"),
    ],
    ids=["forbidden", "unreachable"],
)
def test_plan_is_complete_without_the_nodes(
    qinstruct: CommandLine,
    cluster: FakeCluster,
    capsys: pytest.CaptureFixture[str],
    error: ClusterError,
    why: str,
) -> None:
    cluster.fail(error)
    assert qinstruct(*PLAN) == EXIT_OK
    *_, last = capsys.readouterr().out.splitlines()
    assert last.startswith("note: the cluster's nodes are not compared: ")
    assert why in last
    assert last.endswith("(--offline leaves this out)")


def test_plan_does_not_wait_for_ever(
    kubeconfig: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan_command, "_SECONDS", 1.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:  # accepts, and never answers
        user: dict[str, Any] = {"name": "a", "user": {}}
        port = silent.getsockname()[1]
        config = {
            "current-context": "a",
            "clusters": [{"name": "a", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
            "users": [user],
            "contexts": [{"name": "a", "context": {"cluster": "a", "user": "a"}}],
        }
        kubeconfig.write_text(json.dumps(config))
        assert main(PLAN) == EXIT_OK
    *_, last = capsys.readouterr().out.splitlines()
    assert "did not answer within 1.5 s" in last


@pytest.mark.usefixtures("kubeconfig")
def test_plan_offline_asks_nobody(qinstruct: CommandLine) -> None:
    assert qinstruct(*PLAN, "--offline") == EXIT_OK
    assert qinstruct.contexts == []


@pytest.mark.parametrize("named", ["nowhere/config", ""])
def test_plan_without_kubeconfig_asks_nobody(
    qinstruct: CommandLine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, named: str
) -> None:
    monkeypatch.setenv("KUBECONFIG", named)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert qinstruct(*PLAN) == EXIT_OK
    assert qinstruct.contexts == []
