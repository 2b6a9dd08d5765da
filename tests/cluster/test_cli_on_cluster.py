"""The command line against a real API server, scheduler, training-operator and our operator."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import takewhile

import pytest

from cluster.clients.runs import FOR_EVER, PREP, STEP, Runs, lines
from cluster.harness.kwok import Behaviour
from cluster.harness.processes import wait_until
from cluster.harness.testcluster import TestCluster
from qinstruct_operator.cli import main
from qinstruct_trainer.contract.errors import EXIT_CONFIG, EXIT_OK, EXIT_SOFTWARE, EXIT_UNAVAILABLE
from support.operator_documents import SAMPLES

pytestmark = pytest.mark.cluster

PUBLISHED = {"size": "7B", "strategy": "after"}
EVIL = "\x1b]0;owned\x07\x1b[31mred"


@pytest.fixture(autouse=True)
def kubeconfig(test_cluster: TestCluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """The administrator's."""
    monkeypatch.setenv("KUBECONFIG", str(test_cluster.api.admin_kubeconfig))


def qinstruct(runs: Runs, *arguments: str) -> int:
    """The command, in the runs' namespace."""
    return main([*arguments, "-n", runs.namespace])


def test_follow_and_watch_a_whole_run(runs: Runs, capfd: pytest.CaptureFixture[str]) -> None:
    prep = lines({**PREP, "done": 200}, {"event": "prepared", **PREPARED})
    runs.behave("one", "prep", Behaviour(run_for="2s"), logs=prep)
    train = lines({**STEP, "step": 430}, {**STEP, "step": 1000})
    runs.behave("one", "train", Behaviour(run_for="2s"), logs=[f"hello {EVIL}", *train])
    runs.apply("one", PUBLISHED)
    # A process of its own: Typer keeps a setting in the environment while it reads a command's
    # arguments, which two threads of one process take from each other.
    with started(runs, "logs one --follow") as follow:
        assert qinstruct(runs, "status", "one", "--watch") == EXIT_OK
        followed, error = follow.communicate(timeout=30)
    assert (follow.returncode, error) == (EXIT_OK, "")
    out = followed + capfd.readouterr().out
    assert "\x1b" not in out
    shown = " ".join(out.split())
    assert [text for text in WHOLE_RUN if text in shown] == WHOLE_RUN
    places = [shown.index(text) for text in WHOLE_RUN[:4]]
    assert places == sorted(places)


PREPARED = {"num_records": 7, "num_dropped": 0, "path": "/x"}
WHOLE_RUN = [
    "fetch coco: 200 B of 200 B",
    "data ready: 7 records",
    "hello red",
    "step 1000 of 1000 loss 1.2500",
    "/one: Complete 100%",
    "one in namespace test-",
    "claim one-output (Bound)",
    "model one-output:/model",
]


def test_a_failure_is_shown_with_its_log(runs: Runs, capsys: pytest.CaptureFixture[str]) -> None:
    failed = {"event": "failed", "reason": "BadData", "message": "record 7", "exit_code": 65}
    log = ["reading", *lines(failed)]
    runs.behave("bad", "prep", Behaviour(run_for="200ms", exit_code=65), logs=log)
    runs.apply("bad", PUBLISHED)
    assert qinstruct(runs, "status", "bad", "--watch") == EXIT_SOFTWARE
    shown = capsys.readouterr().out
    for text in ("exit code  65", "record 7", "BadData", "Events"):
        assert text in shown
    assert qinstruct(runs, "logs", "bad") == EXIT_OK
    assert capsys.readouterr().out == "reading\nfailed (BadData): record 7\n"


def test_many_runs_and_a_refused_one(runs: Runs, capsys: pytest.CaptureFixture[str]) -> None:
    runs.behave("busy", "prep", FOR_EVER, logs=["raw \x1b[1m line"])
    runs.apply("busy", PUBLISHED | {"size": "13B"})
    runs.apply("wrong", PUBLISHED | {"training": {"globalBatchSize": 7}})
    runs.wait_phase("busy", "Preparing")
    runs.wait_phase("wrong", "Rejected")
    assert qinstruct(runs, "status") == EXIT_OK
    _, busy, wrong = capsys.readouterr().out.splitlines()
    assert busy.split()[:4] == ["busy", "13B", "after", "Preparing"]
    assert wrong.split()[:4] == ["wrong", "7B", "after", "Rejected"]
    assert qinstruct(runs, "status", "wrong") == EXIT_CONFIG
    assert qinstruct(runs, "logs", "busy", "--train") == EXIT_UNAVAILABLE
    assert "run busy has no training pod" in capsys.readouterr().err
    wait_until(lambda: qinstruct(runs, "logs", "busy", "--raw") == EXIT_OK, "the log is there", 30)
    assert capsys.readouterr().out.endswith("raw \x1b[1m line\n")


@pytest.mark.parametrize("command", ["status busy --watch", "logs busy --follow"])
def test_ctrl_c_ends_quietly(runs: Runs, command: str) -> None:
    runs.behave("busy", "prep", FOR_EVER, logs=["a line"])
    runs.apply("busy", PUBLISHED)
    runs.wait_phase("busy", "Preparing")
    with started(runs, command) as process:
        assert process.stdout is not None
        assert process.stdout.readline() != ""
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=30)
    assert (process.returncode, error) == (130, "")


def test_a_closed_pipe_ends_the_log(runs: Runs) -> None:
    runs.behave("busy", "prep", FOR_EVER, logs=["a line"])
    runs.apply("busy", PUBLISHED)
    runs.wait_phase("busy", "Preparing")
    for options in ("--follow", "--follow --raw"):
        with started(runs, f"logs busy {options}") as process:
            assert process.stdout is not None
            assert process.stderr is not None
            assert process.stdout.readline() == "a line\n"
            process.stdout.close()
            runs.cluster.kwok.log("busy", "prep", *["more"] * 9, namespace=runs.namespace)
            assert process.wait(30) != 0
            assert process.stderr.read() == ""


def test_follow_and_watch_survive_a_restart_of_the_server(runs: Runs) -> None:
    runs.behave("busy", "prep", FOR_EVER, logs=["line 1"])
    runs.behave("busy", "train", FOR_EVER, logs=["trained"])
    runs.apply("busy", PUBLISHED)
    runs.wait_phase("busy", "Preparing")
    with started(runs, "logs busy --follow") as logs, started(runs, "status busy -w") as watch:
        assert logs.stdout is not None
        assert watch.stdout is not None
        assert logs.stdout.readline() == "line 1\n"
        watch.stdout.readline()
        runs.cluster.bounce("kube-apiserver")
        runs.cluster.kwok.log("busy", "prep", "line 2", namespace=runs.namespace)
        said = [*takewhile(lambda line: line != "line 2\n", logs.stdout)]
        runs.end_pod("busy", "prep")
        said += takewhile(lambda line: line != "trained\n", logs.stdout)
        assert logs.poll() is None
        while "busy: Loading" not in (line := watch.stdout.readline()):
            assert line != ""
    assert "reading on" in "".join(said)
    assert [line for line in said if line.startswith("line")] == [], "a line was shown twice"


@contextmanager
def started(runs: Runs, command: str) -> Iterator[subprocess.Popen[str]]:
    """The command in a process of its own, which the block does not leave alive."""
    arguments = [*command.split(), "-n", runs.namespace]
    # A shell's background jobs, CI's too, ignore Ctrl-C and leave that to their children.
    listening = ("env", "--default-signal=INT")
    with subprocess.Popen(
        [*listening, sys.executable, "-m", "qinstruct_operator", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def test_a_user_without_permissions_gets_a_sentence(
    test_cluster: TestCluster,
    namespace: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    kubeconfig = test_cluster.api.kubeconfig_for(test_cluster.api.token(namespace, "default"))
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
    for command in (["status"], ["status", "x"], ["logs", "x"]):
        assert main([*command, "-n", namespace]) == EXIT_UNAVAILABLE
        (sentence,) = capsys.readouterr().err.splitlines()
        assert f'User "system:serviceaccount:{namespace}:default" cannot' in sentence
        assert sentence.endswith("; ask for a role that allows it, or use another --context")
    assert main(["plan", str(SAMPLES / "run-tiny.yaml")]) == EXIT_OK
    *_, note = capsys.readouterr().out.splitlines()
    assert note.startswith("note: the cluster's nodes are not compared: list nodes")
