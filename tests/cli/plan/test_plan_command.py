"""`qinstruct plan` before an in-memory cluster, or none."""

import json
import socket
from pathlib import Path
from typing import Any

import pytest

from qinstruct_operator.cli import main
from qinstruct_operator.cli.plan import plan_command
from qinstruct_operator.cluster.errors import ClusterError, Forbidden
from qinstruct_trainer.contract.errors import EXIT_CONFIG, EXIT_OK
from support.cli.cluster_commands import UNREACHABLE, CommandLine, add
from support.fake_cluster.cluster import FakeCluster
from support.operator_documents import SAMPLES

PLAN = ("plan", str(SAMPLES / "run-13b-after.yaml"))


@pytest.fixture
def kubeconfig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "config"
    file.write_text("{}")
    monkeypatch.setenv("KUBECONFIG", str(file))
    return file


@pytest.mark.usefixtures("kubeconfig")
def test_the_nodes_of_a_context_are_compared(
    qinstruct: CommandLine, cluster: FakeCluster, capsys: pytest.CaptureFixture[str]
) -> None:
    add(cluster, {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "bare"}, "spec": {}})
    assert qinstruct(*PLAN, "--context", "far") == EXIT_OK
    assert "training pod     0 of 1 node can ever fit" in capsys.readouterr().out
    assert qinstruct.contexts == ["far"]


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


def test_a_kernel_that_the_operators_image_lacks_is_refused_before_anything_is_applied(
    qinstruct: CommandLine, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QINSTRUCT_TRAINER_ATTENTION", "sdpa,eager")
    assert qinstruct(*PLAN, "--offline") == EXIT_CONFIG
    assert capsys.readouterr().err == (
        "qinstruct: spec.training.attention flash_attention_2: is not in the trainer image, which "
        "has sdpa, eager (QINSTRUCT_TRAINER_ATTENTION of the operator); use sdpa or eager, or "
        "give the operator an image that has it\n"
    )
