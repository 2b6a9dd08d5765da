"""`qinstruct status` before an in-memory cluster: all runs or one, once or until they end."""

from typing import Any

import pytest

from qinstruct_operator.cluster.errors import ClusterError
from qinstruct_operator.kinds import TRAINING
from qinstruct_trainer.contract.errors import EXIT_CONFIG, EXIT_OK, EXIT_SOFTWARE, EXIT_UNAVAILABLE
from support.cli.cluster_commands import (
    COMPLETE,
    FAILED,
    TEAM,
    TRAINING_STATUS,
    UNREACHABLE,
    CommandLine,
    add_run,
    condition,
    while_waiting,
)
from support.fake_cluster.cluster import FakeCluster


def test_all_runs_of_the_namespace(
    qinstruct: CommandLine, cluster: FakeCluster, capsys: pytest.CaptureFixture[str]
) -> None:
    add_run(cluster, "b", TRAINING_STATUS, size="13B")
    add_run(cluster, "a", strategy="mix")
    add_run(cluster, "elsewhere", namespace="other")

    assert qinstruct("status") == EXIT_OK

    header, first, second = capsys.readouterr().out.splitlines()
    assert header.split()[:4] == ["name", "size", "strategy", "phase"]
    assert first.split()[:6] == ["a", "7B", "mix", "not", "seen", "yet"]
    assert second.split()[:8] == ["b", "13B", "after", "Training", "43%", "1h12m", "2", "gpus"]


def test_all_runs_of_all_namespaces(
    qinstruct: CommandLine, cluster: FakeCluster, capsys: pytest.CaptureFixture[str]
) -> None:
    add_run(cluster, "b", COMPLETE)
    add_run(cluster, "a", FAILED, namespace="other")
    assert qinstruct("status", "-A") == EXIT_OK
    rows = [line.split()[:2] for line in capsys.readouterr().out.splitlines()]
    assert rows == [["namespace", "name"], ["other", "a"], [TEAM, "b"]]


def test_no_runs(qinstruct: CommandLine, capsys: pytest.CaptureFixture[str]) -> None:
    assert qinstruct("status", "-n", "empty", "--context", "far") == EXIT_OK
    assert capsys.readouterr().out.startswith("no runs in namespace empty; ")
    assert qinstruct.contexts == ["far"]


ENDINGS: dict[str, tuple[dict[str, Any], int]] = {
    "complete": (COMPLETE, EXIT_OK),
    "failed": (FAILED, EXIT_SOFTWARE),
    "refused": (
        {"phase": "Rejected", "conditions": [condition("Accepted", "False", "InvalidSpec")]},
        EXIT_CONFIG,
    ),
}


@pytest.mark.parametrize(("ending", "code"), ENDINGS.values(), ids=ENDINGS)
def test_the_exit_code_says_how_it_ended(
    qinstruct: CommandLine, cluster: FakeCluster, ending: dict[str, Any], code: int
) -> None:
    add_run(cluster, "x", ending)
    assert qinstruct("status", "x") == code
    assert qinstruct("status", "x", "--watch") == code


def test_watch_says_each_change_once_and_survives_a_lost_server(
    qinstruct: CommandLine,
    cluster: FakeCluster,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    add_run(cluster, "x", TRAINING_STATUS)
    later: list[dict[str, Any] | ClusterError] = [
        {},
        {"progress": "50%"},
        UNREACHABLE,
        {"progress": "50%"},
        COMPLETE,
    ]

    def change() -> None:
        match later.pop(0):
            case ClusterError() as error:
                cluster.fail(error, "get")
            case written:
                cluster.set_status(TRAINING, TEAM, "x", TRAINING_STATUS | written)

    while_waiting(monkeypatch, change)
    assert qinstruct("status", "x", "-w") == EXIT_OK

    said = [line for line in capsys.readouterr().out.splitlines() if line.startswith("team/x: ")]
    assert [line.split("  ")[:2] for line in said] == [
        ["team/x: Training", "43%"],
        ["team/x: Training", "50%"],
        ["team/x: Complete", "43%"],
    ]
    assert later == []


def test_a_deleted_run_ends_the_watch(
    qinstruct: CommandLine,
    cluster: FakeCluster,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    add_run(cluster, "x", TRAINING_STATUS)

    while_waiting(monkeypatch, lambda: cluster.delete(TRAINING, TEAM, "x"))
    assert qinstruct("status", "x", "-w") == EXIT_UNAVAILABLE
    assert "run x is not in namespace team" in capsys.readouterr().err


def test_a_name_and_all_namespaces_contradict(qinstruct: CommandLine) -> None:
    assert qinstruct("status", "x", "-A") == 2
    assert qinstruct.contexts == []
