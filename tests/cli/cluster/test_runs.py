"""Reading runs of a cluster: what is not there, not known or not readable."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from qinstruct_operator.cli.cluster.runs import ClusterRun, read_detail
from qinstruct_operator.cluster.errors import Forbidden
from qinstruct_operator.kinds import EVENT, TRAINING
from qinstruct_trainer.contract.errors import EXIT_OK, EXIT_UNAVAILABLE
from support.cli.cluster_commands import (
    COMPLETE,
    EVIL,
    TAMED,
    TEAM,
    TIME,
    TRAINING_STATUS,
    CommandLine,
    add_run,
    condition,
)
from support.fake_cluster.cluster import FakeCluster


def test_an_unreadable_status_shows_what_it_has(
    qinstruct: CommandLine, cluster: FakeCluster, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = {
        "training": {"step": "many"},
        "conditions": [condition("Accepted"), {"type": "Broken"}, "nonsense"],
        "queue": ["a", "list"],
        "fromTheFuture": 1,
    }
    add_run(cluster, "x", TRAINING_STATUS | broken)
    assert qinstruct("status", "x") == EXIT_OK
    shown = capsys.readouterr().out
    for part in ("status.training", "status.conditions", "status.queue"):
        assert f"note: {part} cannot be read by this version" in shown
    assert "fromTheFuture" not in shown
    assert "43%, 1h12m left" in shown
    assert "Accepted" in shown


@pytest.mark.parametrize("status_", [None, [], "done", 3])
def test_a_run_without_a_status(
    qinstruct: CommandLine,
    cluster: FakeCluster,
    capsys: pytest.CaptureFixture[str],
    status_: Any,
) -> None:
    add_run(cluster, "x")
    cluster.edit(TRAINING, TEAM, "x", lambda found: found.update(status=status_))
    assert qinstruct("status", "x") == EXIT_OK
    assert "phase    not seen yet" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["status", "logs"])
def test_a_run_that_is_not_there(
    qinstruct: CommandLine, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    assert qinstruct(command, EVIL) == EXIT_UNAVAILABLE
    assert capsys.readouterr().err == (
        f"qinstruct: run {TAMED} is not in namespace team; `qinstruct status -A` lists all\n"
    )


@pytest.mark.parametrize("arguments", [("status",), ("status", "x"), ("logs", "x")])
def test_a_cluster_that_does_not_know_the_kind(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
) -> None:
    qinstruct = CommandLine(monkeypatch, FakeCluster(kinds=()))
    assert qinstruct(*arguments) == EXIT_UNAVAILABLE
    assert "qinstruct crd | kubectl apply -f -" in capsys.readouterr().err


def test_what_may_not_be_read_is_noted(
    qinstruct: CommandLine, cluster: FakeCluster, capsys: pytest.CaptureFixture[str]
) -> None:
    add_run(cluster, "x", COMPLETE)
    cluster.fail(Forbidden("list events of team: no", status=403), kind=EVENT)
    assert qinstruct("status", "x") == EXIT_OK
    assert "note: list events of team: no; ask for a role" in capsys.readouterr().out


RAW: dict[str, Any] = {
    "metadata": {
        "name": f"x{EVIL}",
        "namespace": TEAM,
        "creationTimestamp": TIME,
        "deletionTimestamp": TIME,
    },
    "spec": {"size": "7B", "strategy": ["mix"]},
    "status": {"phase": "Training", EVIL: 1, "attempt": "two"},
}


def test_a_run_is_read_as_far_as_it_can_be() -> None:
    run = ClusterRun.of(RAW)
    assert (run.name, run.namespace, run.size, run.strategy) == (f"x{TAMED}", TEAM, "7B", "")
    assert run.created == datetime(2026, 1, 1, tzinfo=UTC)
    assert run.is_deleted
    assert run.status.phase == "Training"
    assert run.unreadable == ("status.attempt",)


@pytest.mark.parametrize("raw", [{}, {"metadata": None, "spec": 3}, {"metadata": {"name": []}}])
def test_an_object_without_anything(raw: dict[str, Any]) -> None:
    run = ClusterRun.of(raw)
    assert (run.name, run.size, run.created, run.is_deleted) == ("", "", None, False)


def test_claims_of_another_version_are_not_asked_for(cluster: FakeCluster) -> None:
    """Their names follow from the spec, which this version cannot read."""
    run = ClusterRun.of(RAW | {"spec": {"size": "70B"}})
    detail = asyncio.run(read_detail(cluster, run))
    assert detail.claims == {}
    assert detail.notes == ["status.attempt cannot be read by this version"]
