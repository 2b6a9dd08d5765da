"""`qinstruct logs` before an in-memory cluster: which pod, which lines, until when."""

import asyncio
import itertools
from typing import Any

import pytest

from qinstruct_operator.cluster.errors import ClusterError
from qinstruct_operator.kinds import POD, TRAINING
from qinstruct_trainer.contract.errors import EXIT_OK, EXIT_UNAVAILABLE
from support.cli.cluster_commands import (
    COMPLETE,
    ENDED,
    EVIL,
    FAILED,
    RUNNING,
    TAMED,
    TEAM,
    CommandLine,
    add_pod,
    add_run,
    end_log,
    pod_status,
    print_lines,
    while_waiting,
)
from support.fake_cluster.cluster import FakeCluster
from support.observed import complete_event, lines, signed_lines

LOST = ClusterError("read the log: the connection was lost")
UNSCHEDULABLE = {"type": "PodScheduled", "status": "False", "message": f"no node {EVIL}"}


@pytest.fixture
def cluster() -> FakeCluster:
    found = FakeCluster(namespace=TEAM)
    add_run(found)
    return found


@pytest.fixture
def history(cluster: FakeCluster) -> FakeCluster:
    """Prep, a failed first attempt, and a second one at work; made in the same second."""
    pods = (
        ("x-prep-b", "prep", None, ENDED),
        ("x-2-master-0", "train", 2, RUNNING),
        ("x-1-master-0", "train", 1, {"terminated": {"exitCode": 75}}),
    )
    for name, component, attempt, state in pods:
        add_pod(cluster, name, component, state, attempt=attempt)
        print_lines(cluster, name, component, f"I am {name}", "my last line")
        end_log(cluster, name, component)
    return cluster


CHOICES = {
    "": "x-2-master-0",
    "--train": "x-2-master-0",
    "--attempt 1": "x-1-master-0",
    "--train --attempt 2": "x-2-master-0",
    "--prep": "x-prep-b",
}


@pytest.mark.usefixtures("history")
@pytest.mark.parametrize(("options", "pod"), CHOICES.items(), ids=CHOICES)
@pytest.mark.parametrize("raw", ["", "--raw"])
def test_the_pod_that_is_meant(
    qinstruct: CommandLine,
    capfdbinary: pytest.CaptureFixture[bytes],
    options: str,
    pod: str,
    raw: str,
) -> None:
    assert qinstruct("logs", "x", *options.split(), *raw.split()) == EXIT_OK
    assert capfdbinary.readouterr() == (f"I am {pod}\nmy last line\n".encode(), b"")


@pytest.mark.usefixtures("history")
def test_the_last_lines(qinstruct: CommandLine, capsys: pytest.CaptureFixture[str]) -> None:
    assert qinstruct("logs", "x", "--tail", "1") == EXIT_OK
    assert capsys.readouterr().out == "my last line\n"


def test_the_newest_prep_pod_by_creation(
    qinstruct: CommandLine, cluster: FakeCluster, capsys: pytest.CaptureFixture[str]
) -> None:
    for number, name in enumerate(("x-prep-z", "x-prep-a")):
        add_pod(cluster, name, "prep", ENDED, created=f"2026-01-01T00:00:0{number}Z")
        print_lines(cluster, name, "prep", name)
    assert qinstruct("logs", "x") == EXIT_OK
    assert capsys.readouterr().out == "x-prep-a\n"


def test_a_pod_that_waits_is_said_and_the_one_before_is_shown(
    qinstruct: CommandLine, cluster: FakeCluster, capsys: pytest.CaptureFixture[str]
) -> None:
    add_pod(cluster, "x-prep-b", "prep", ENDED)
    print_lines(cluster, "x-prep-b", "prep", "prepared")
    add_pod(cluster, "x-1-master-0", "train", {}, attempt=1, conditions=(UNSCHEDULABLE,))
    assert qinstruct("logs", "x") == EXIT_OK
    assert capsys.readouterr().out == (
        f"training (pod x-1-master-0) has not started: no node {TAMED}\nprepared\n"
    )


def test_a_container_that_waits(
    qinstruct: CommandLine, cluster: FakeCluster, capsys: pytest.CaptureFixture[str]
) -> None:
    waiting = {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}
    add_pod(cluster, "x-prep-b", "prep", waiting)
    assert qinstruct("logs", "x", "--raw") == EXIT_OK
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == (
        "qinstruct: preparation (pod x-prep-b) has not started: ImagePullBackOff: no such image\n"
    )


@pytest.mark.parametrize(
    ("options", "what"),
    [("", "pod"), ("--prep", "preparation pod"), ("--attempt 7", "training pod of attempt 7")],
)
def test_no_pod(
    qinstruct: CommandLine, capsys: pytest.CaptureFixture[str], options: str, what: str
) -> None:
    assert qinstruct("logs", "x", *options.split()) == EXIT_UNAVAILABLE
    assert capsys.readouterr().err == (
        f"qinstruct: run x has no {what}, yet or any more; "
        "`qinstruct status x` says what is known of it\n"
    )


@pytest.mark.parametrize("options", ["--prep --train", "--prep --attempt 1", "--tail 0"])
def test_options_that_contradict(qinstruct: CommandLine, options: str) -> None:
    assert qinstruct("logs", "x", *options.split()) == 2
    assert qinstruct.contexts == []


def test_pods_of_other_runs_and_odd_ones_are_left_alone(
    qinstruct: CommandLine, cluster: FakeCluster
) -> None:
    add_pod(cluster, "y-prep-a", "prep", ENDED)
    cluster.edit(POD, TEAM, "y-prep-a", lambda pod: pod["metadata"].update(labels={}))
    assert qinstruct("logs", "x") == EXIT_UNAVAILABLE


def test_follow_goes_through_the_whole_run(
    qinstruct: CommandLine,
    cluster: FakeCluster,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """From a prep that waits, over a training that is preempted, to the end of the run."""
    add_pod(cluster, "x-prep-b", "prep", {}, conditions=(UNSCHEDULABLE,))
    master = "x-1-master-0"

    def story() -> Any:
        yield  # still waiting: said once
        cluster.set_status(POD, TEAM, "x-prep-b", pod_status("prep", ENDED))
        print_lines(cluster, "x-prep-b", "prep", "prep 1", "prep 2")
        end_log(cluster, "x-prep-b", "prep")
        yield
        add_pod(cluster, master, "train", RUNNING, attempt=1, created="2026-01-01T00:01:00Z")
        print_lines(cluster, master, "train", "train 1")
        end_log(cluster, master, "train")  # a stream that ends while the container runs
        yield
        print_lines(cluster, master, "train", "train 2")
        yield
        cluster.fail(LOST, "follow_log")
        yield
        print_lines(cluster, master, "train", "train 3")
        cluster.set_status(POD, TEAM, master, pod_status("train", ENDED))
        yield
        second = "2026-01-01T00:02:00Z"
        add_pod(cluster, "x-2-master-0", "train", RUNNING, attempt=2, created=second)
        print_lines(cluster, "x-2-master-0", "train", "train again")
        end_log(cluster, "x-2-master-0", "train")
        cluster.set_status(POD, TEAM, "x-2-master-0", pod_status("train", ENDED))
        yield
        cluster.set_status(TRAINING, TEAM, "x", COMPLETE)
        yield

    steps = story()
    while_waiting(monkeypatch, lambda: next(steps))
    assert qinstruct("logs", "x", "--follow") == EXIT_OK
    assert capsys.readouterr().out.splitlines() == [
        f"preparation (pod x-prep-b) has not started: no node {TAMED}",
        "prep 1",
        "prep 2",
        "train 1",
        "train 2",
        f"{LOST}; check the network, $KUBECONFIG and --context; reading on",
        "train 3",
        "train again",
    ]


@pytest.mark.parametrize("follow", ["", "--follow"])
def test_an_event_is_told_of_the_pod_that_wrote_it(
    qinstruct: CommandLine, cluster: FakeCluster, capsys: pytest.CaptureFixture[str], follow: str
) -> None:
    add_pod(cluster, "x-1-master-0", "train", ENDED, attempt=1)
    cluster.set_status(TRAINING, TEAM, "x", COMPLETE)
    (pod,) = asyncio.run(cluster.list(POD, TEAM))
    said = lines(complete_event())
    printed = (*said, *signed_lines(said, "another"), *signed_lines(said, pod["metadata"]["uid"]))
    print_lines(cluster, "x-1-master-0", "train", *printed)
    end_log(cluster, "x-1-master-0", "train")
    assert qinstruct("logs", "x", *follow.split()) == EXIT_OK
    told = capsys.readouterr().out
    assert told.count("complete: the model is in") == 1
    assert told.endswith("complete: the model is in /output/model\n")


def test_follow_goes_on_with_a_pod_that_is_made_again_under_its_name(
    qinstruct: CommandLine,
    cluster: FakeCluster,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As the training-operator does after the loss of a node: it is another pod."""
    master = "x-1-master-0"
    add_pod(cluster, master, "train", RUNNING, attempt=1)
    print_lines(cluster, master, "train", "before")
    end_log(cluster, master, "train")

    def story() -> Any:
        cluster.delete(POD, TEAM, master)
        add_pod(cluster, master, "train", ENDED, attempt=1, created="2026-01-01T00:01:00Z")
        print_lines(cluster, master, "train", "after")
        end_log(cluster, master, "train")
        yield
        yield
        cluster.set_status(TRAINING, TEAM, "x", COMPLETE)
        yield
        yield

    steps = story()
    while_waiting(monkeypatch, lambda: next(steps))
    assert qinstruct("logs", "x", "-f") == EXIT_OK
    assert capsys.readouterr().out.splitlines() == ["before", "after"]


def test_follow_of_one_part_ends_with_it(
    qinstruct: CommandLine, history: FakeCluster, capsys: pytest.CaptureFixture[str]
) -> None:
    assert qinstruct("logs", "x", "-f", "--prep") == EXIT_OK
    assert capsys.readouterr().out == "I am x-prep-b\nmy last line\n"
    assert "x-2-master-0" not in [call.name for call in history.calls if call.method != "create"]


def test_follow_goes_on_where_a_log_is_lost(
    qinstruct: CommandLine,
    cluster: FakeCluster,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A prep that never started, a node that is gone, and an attempt of the same second."""
    waiting = {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}
    add_pod(cluster, "x-prep-b", "prep", waiting)
    cluster.edit(POD, TEAM, "x-prep-b", lambda pod: pod["status"].update(phase="Failed"))

    def story() -> Any:
        yield
        add_pod(cluster, "x-1-master-0", "train", ENDED, attempt=1)
        cluster.fail(
            ClusterError("dial tcp: no route to the node", status=502), "follow_log", times=5
        )
        add_pod(cluster, "x-2-master-0", "train", {}, attempt=2)
        for _ in range(7):
            yield
        cluster.set_status(POD, TEAM, "x-2-master-0", pod_status("train", ENDED))
        print_lines(cluster, "x-2-master-0", "train", "train again")
        end_log(cluster, "x-2-master-0", "train")
        yield
        cluster.set_status(TRAINING, TEAM, "x", COMPLETE)
        yield

    steps = story()
    while_waiting(monkeypatch, lambda: next(steps))
    assert qinstruct("logs", "x", "-f") == EXIT_OK
    assert capsys.readouterr().out.splitlines() == [
        "preparation (pod x-prep-b) has not started: ImagePullBackOff: no such image",
        "dial tcp: no route to the node; reading on",
        "the rest of the log of pod x-1-master-0 is lost",
        "training (pod x-2-master-0) has not started",
        "train again",
    ]


@pytest.mark.parametrize("options", ["", "--prep", "--train"])
def test_follow_of_a_run_that_has_ended_ends(
    qinstruct: CommandLine, cluster: FakeCluster, options: str
) -> None:
    add_pod(cluster, "x-1-master-0", "train", {}, attempt=1)  # was never given a node
    cluster.set_status(TRAINING, TEAM, "x", FAILED)
    assert qinstruct("logs", "x", "-f", *options.split()) == EXIT_OK


def test_follow_gives_up_on_a_log_that_never_comes(
    qinstruct: CommandLine,
    cluster: FakeCluster,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    add_pod(cluster, "x-prep-b", "prep", RUNNING)
    cluster.fail(LOST, "follow_log", times=100)
    waits = itertools.count()
    while_waiting(monkeypatch, lambda: None if next(waits) < 50 else pytest.fail("endless"))
    assert qinstruct("logs", "x", "-f") == EXIT_UNAVAILABLE
    said = capsys.readouterr()
    assert said.out.count("reading on") == 1
    assert "the log of pod x-prep-b breaks off again and again" in said.err
