"""`qinstruct status` before an in-memory cluster, and how a cluster's refusal is told."""

from typing import Any

import pytest

from qinstruct_operator.cluster.errors import ClusterError, Forbidden
from qinstruct_operator.kinds import CLAIM, EVENT, TRAINING
from qinstruct_trainer.contract.errors import EXIT_CONFIG, EXIT_OK, EXIT_SOFTWARE, EXIT_UNAVAILABLE
from support.cli.cluster_commands import (
    COMPLETE,
    EVIL,
    FAILED,
    TAMED,
    TEAM,
    TIME,
    UNREACHABLE,
    CommandLine,
    add,
    add_run,
    between_looks,
    condition,
)
from support.fake_cluster.cluster import FakeCluster

TRAINING_STATUS = {
    "phase": "Training",
    "progress": "43%",
    "eta": "1h12m",
    "attempt": 2,
    "queue": "gpus",
    "node": "gpu-a",
    "gpuHours": 12.34,
    "conditions": [condition("Accepted"), condition("Running", reason="Training")],
    "prep": {"stage": "fetch", "item": "labels", "done": 5, "total": 10, "unit": "files"},
    "training": {
        "step": 430,
        "steps": 1000,
        "loss": 1.25,
        "samplesPerSecond": 12.5,
        "tokensPerSecond": 9000,
    },
    "checkpoint": {"step": 400, "time": TIME},
}


@pytest.fixture
def cluster() -> FakeCluster:
    return FakeCluster(namespace=TEAM)


@pytest.fixture
def qinstruct(monkeypatch: pytest.MonkeyPatch, cluster: FakeCluster) -> CommandLine:
    return CommandLine(monkeypatch, cluster)


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


def test_everything_known_of_one(
    qinstruct: CommandLine, cluster: FakeCluster, capsys: pytest.CaptureFixture[str]
) -> None:
    add_run(cluster, "x", TRAINING_STATUS)
    claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim"}
    add(cluster, claim | {"metadata": {"name": "x-output", "namespace": TEAM}})
    cluster.set_status(CLAIM, TEAM, "x-output", {"phase": "Bound"})
    add(cluster, event("x", "QInstructTraining", "Prepared", "data ready"))
    add(cluster, event("x", "Pod", "Pulled", "another object of that name"))

    assert qinstruct("status", "x") == EXIT_OK

    shown = " ".join(capsys.readouterr().out.split())
    for text in (
        "x in namespace team: size 7B, strategy after",
        "progress 43%, 1h12m left",
        "attempt 2 queue gpus node gpu-a GPU-hours 12.3",
        "preparation fetch labels: 5 of 10 files",
        "training step 430 of 1,000 loss 1.2500 12.5 samples/s 9,000.0 tokens/s",
        "checkpoint after step 400, ",
        "claim qinstruct-cache (not there) claim x-output (Bound)",
        "Running True Training it is so",
        "Normal Prepared data ready (x3)",
    ):
        assert text in shown
    assert "another object" not in shown


def event(run: str, kind: str, reason: str, message: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{run}.{reason.lower()}", "namespace": TEAM},
        "involvedObject": {"kind": kind, "name": run, "namespace": TEAM},
        "type": "Normal",
        "reason": reason,
        "message": message,
        "count": 3,
        "lastTimestamp": TIME,
    }


def test_a_failure_shows_its_log(
    qinstruct: CommandLine, cluster: FakeCluster, capsys: pytest.CaptureFixture[str]
) -> None:
    failure = {
        "reason": "BadData",
        "message": "record 7 has no image",
        "exitCode": 65,
        "attempt": 1,
        "logTail": "\n".join(f"line {number}" for number in range(30)),
    }
    add_run(cluster, "x", FAILED | {"failure": failure})
    assert qinstruct("status", "x") == EXIT_SOFTWARE
    shown = capsys.readouterr().out
    for text in ("exit code  65", "record 7 has no image", "  line 10\n", "  line 29\n"):
        assert text in shown
    assert "line 9\n" not in shown


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

    between_looks(monkeypatch, change)
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

    between_looks(monkeypatch, lambda: cluster.delete(TRAINING, TEAM, "x"))
    assert qinstruct("status", "x", "-w") == EXIT_UNAVAILABLE
    assert "run x is not in namespace team" in capsys.readouterr().err


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


def test_text_of_the_cluster_is_harmless(
    qinstruct: CommandLine, cluster: FakeCluster, capsys: pytest.CaptureFixture[str]
) -> None:
    evil = {
        "phase": EVIL,
        "progress": EVIL,
        "eta": EVIL,
        "queue": EVIL,
        "node": EVIL,
        "model": EVIL,
        "conditions": [condition("Failed", "True", EVIL, EVIL)],
        "prep": {"stage": EVIL, "item": EVIL, "waitingFor": EVIL},
        "failure": {"reason": EVIL, "message": f"{EVIL}\n{EVIL}", "logTail": f"{EVIL}\r\n{EVIL}"},
    }
    add_run(cluster, "x", evil)
    add(cluster, event("x", "QInstructTraining", "Evil", EVIL) | {"reason": EVIL})
    assert qinstruct("status", "x") == EXIT_SOFTWARE
    assert qinstruct("status") == EXIT_OK
    shown = capsys.readouterr().out
    assert shown.count(TAMED) >= 15
    assert not {sign for sign in shown if not sign.isprintable()} - {"\n"}


REFUSALS: dict[str, tuple[ClusterError, str]] = {
    "forbidden": (
        Forbidden('list qinstructtrainings: User "ann" cannot list', status=403),
        'list qinstructtrainings: User "ann" cannot list; ask for a role that allows it, or use '
        "another --context",
    ),
    "unreachable": (UNREACHABLE, f"{UNREACHABLE}; check the network, $KUBECONFIG and --context"),
    "out of order": (ClusterError("etcd is full", status=500), "etcd is full"),
}


@pytest.mark.parametrize(("error", "sentence"), REFUSALS.values(), ids=REFUSALS)
@pytest.mark.parametrize("command", ["status", "status x", "logs x", "logs x -f"])
def test_a_refusal_is_one_sentence(
    qinstruct: CommandLine,
    cluster: FakeCluster,
    capsys: pytest.CaptureFixture[str],
    error: ClusterError,
    sentence: str,
    command: str,
) -> None:
    cluster.fail(error)
    assert qinstruct(*command.split()) == EXIT_UNAVAILABLE
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", f"qinstruct: {sentence}\n")


@pytest.mark.parametrize("command", ["status", "logs"])
def test_a_run_that_is_not_there(
    qinstruct: CommandLine, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    assert qinstruct(command, EVIL) == EXIT_UNAVAILABLE
    assert capsys.readouterr().err == (
        f"qinstruct: run {TAMED} is not in namespace team; `qinstruct status -A` lists all\n"
    )


def test_a_cluster_that_does_not_know_the_kind(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    qinstruct = CommandLine(monkeypatch, FakeCluster(kinds=()))
    assert qinstruct("status") == EXIT_UNAVAILABLE
    assert "qinstruct crd | kubectl apply -f -" in capsys.readouterr().err


def test_what_may_not_be_read_is_noted(
    qinstruct: CommandLine, cluster: FakeCluster, capsys: pytest.CaptureFixture[str]
) -> None:
    add_run(cluster, "x", COMPLETE)
    cluster.fail(Forbidden("list events of team: no", status=403), kind=EVENT)
    assert qinstruct("status", "x") == EXIT_OK
    assert "note: list events of team: no; ask for a role" in capsys.readouterr().out


def test_a_name_and_all_namespaces_contradict(qinstruct: CommandLine) -> None:
    assert qinstruct("status", "x", "-A") == 2
    assert qinstruct.contexts == []
