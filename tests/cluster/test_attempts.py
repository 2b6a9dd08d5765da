"""An attempt that fails is not the run's end: what follows on a real API server.

What only a kubelet would write is played by kwok; the training-operator is the real one.
"""

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, Final

import pytest

from cluster.clients.operator_process import Operator
from cluster.clients.runs import FOR_EVER, STEP, Runs, lines
from cluster.harness.kwok import Behaviour, a100
from cluster.harness.processes import wait_until
from cluster.harness.testcluster import TestCluster
from qinstruct_operator.core.judge.goodput import HELD
from qinstruct_operator.core.times import parse_time

pytestmark = pytest.mark.cluster

SPEC: Final[dict[str, Any]] = {"size": "7B", "strategy": "after"}
SOON: Final = SPEC | {"recovery": {"backoffSeconds": 1, "maxBackoffSeconds": 2}}
EVICTED: Final = Behaviour(exit_code=137, pod_reason="Evicted", disruption="TerminationByKubelet")

ENDS: Final[dict[str, tuple[Behaviour, str, str]]] = {
    "exit-1": (Behaviour(exit_code=1), "Transient", "Error"),
    "exit-71": (Behaviour(exit_code=71), "Transient", "GpuFailed"),
    "exit-75": (Behaviour(exit_code=75), "Disruption", "Stopped"),
    "exit-137": (Behaviour(exit_code=137), "Transient", "Error"),
    "exit-143": (Behaviour(exit_code=143), "Disruption", "Terminated"),
    "evicted": (EVICTED, "Disruption", "Evicted"),
    "node-lost": (
        Behaviour(exit_code=137, reason="ContainerStatusUnknown"),
        "Disruption",
        "Error",
    ),
}
FAULTS: Final[dict[str, tuple[Behaviour, str]]] = {
    "exit-65": (Behaviour(exit_code=65), "BadData"),
    "exit-78": (Behaviour(exit_code=78), "BadConfig"),
    "too-large": (Behaviour(exit_code=137, reason="OOMKilled"), "OutOfMemory"),
    "late": (Behaviour(exit_code=143, pod_reason="DeadlineExceeded"), "DeadlineExceeded"),
}


PAIR: Final = SOON | {
    "scheduling": {
        "nodeSelector": {"rack": "pair"},
        "tolerations": [{"key": "rack", "operator": "Exists"}],
    }
}


@pytest.fixture
def pair(test_cluster: TestCluster) -> Iterator[tuple[str, str]]:
    """Two nodes of the test's own: the one that a run prefers, and another that would do."""
    nodes = a100("pair-40", 40), a100("pair-80", 80)
    for node in nodes:
        node["metadata"]["labels"] |= {"rack": "pair"}
        node["spec"]["taints"].append({"key": "rack", "value": "pair", "effect": "NoSchedule"})
    test_cluster.kwok.add_nodes(*nodes)
    yield "pair-40", "pair-80"
    test_cluster.kubectl("delete", "node", "pair-40", "pair-80", "--ignore-not-found")


def fail_first(runs: Runs, name: str, end: Behaviour, **how: Any) -> None:
    runs.cluster.kwok.behave(name, "train", end, namespace=runs.namespace, attempt=1, **how)


def status(runs: Runs, name: str) -> dict[str, Any]:
    return runs.statuses(name)[-1]


def told(runs: Runs, name: str) -> list[str]:
    """Reasons of the run's events."""
    events = runs.get("events")
    return [each["reason"] for each in events if each["involvedObject"]["name"] == name]


def jobs_of(runs: Runs, name: str) -> dict[str, dict[str, Any]]:
    return {
        job["metadata"]["name"]: job
        for job in runs.get("pytorchjobs", f"--selector=qinstruct.dev/run={name}")
    }


def created(job: dict[str, Any]) -> datetime:
    moment = parse_time(job["metadata"]["creationTimestamp"])
    assert moment is not None
    return moment


def failed_at(job: dict[str, Any]) -> datetime:
    (when,) = (
        each["lastTransitionTime"]
        for each in job["status"]["conditions"]
        if (each["type"], each["status"]) == ("Failed", "True")
    )
    moment = parse_time(when)
    assert moment is not None
    return moment


def test_after_what_may_pass_another_attempt_completes_the_run(runs: Runs) -> None:
    for name, (end, _, _) in ENDS.items():
        fail_first(runs, name, end, logs=lines({**STEP, "step": 430}))
        runs.apply(name, SOON)
    for name, (end, kind, reason) in ENDS.items():
        runs.wait_phase(name, "Complete", 120)
        found = status(runs, name)
        assert found["attempt"] == 2
        (failure,) = found["recovery"]["failures"]
        assert (failure["attempt"], failure["kind"], failure["reason"]) == (1, kind, reason)
        assert (failure["exitCode"], failure["step"]) == (end.exit_code, 430)
        assert failure["node"].startswith("gpu-")
        counted = ("retries", "disruptions")
        spent = [found["recovery"][each] for each in counted]
        assert spent == ([1, 0] if kind == "Transient" else [0, 1])
        assert "nextAttemptTime" not in found["recovery"]
        assert "Recovering" in told(runs, name)
        seconds = found["gpuSeconds"]
        assert sum(seconds[each] for each in HELD) == round(found["gpuHours"] * 3600)
        first, second = (jobs_of(runs, name)[f"{name}-{n}"] for n in (1, 2))
        assert created(second) >= failed_at(first)
        annotations = second["metadata"]["annotations"]
        assert [annotations[f"qinstruct.dev/{each}"] for each in counted] == [*map(str, spent)]


def test_what_would_come_again_fails_the_run_at_once(runs: Runs) -> None:
    for name, (end, _) in FAULTS.items():
        fail_first(runs, name, end)
        runs.apply(name, SOON)
    for name, (_, reason) in FAULTS.items():
        runs.wait(name, "Failed", "True", reason, 120)
        assert set(jobs_of(runs, name)) == {f"{name}-1"}
        assert "Recovering" not in told(runs, name)


def test_attempts_that_are_used_up_end_the_run(runs: Runs) -> None:
    runs.behave("weak", "train", Behaviour(exit_code=71))
    runs.apply("weak", SPEC | {"recovery": {"maxRetries": 1, "backoffSeconds": 1}})
    message = runs.wait("weak", "Failed", "True", "GpuFailed", 90)
    assert "no attempt more is left (spec.recovery.maxRetries is 1)" in message
    assert set(jobs_of(runs, "weak")) == {"weak-1", "weak-2"}
    found = status(runs, "weak")
    assert [each["attempt"] for each in found["recovery"]["failures"]] == [1, 2]
    assert (found["attempt"], found["failure"]["attempt"]) == (2, 2)
    runs.kubectl("delete", "pytorchjobs", "--all")  # what is cleaned up is not made again
    runs.kubectl("annotate", "qit", "weak", "touched=yes")
    runs.behave("other", "train")
    runs.apply("other", SPEC)
    runs.wait_phase("other", "Complete", 90)  # the operator has had its turn
    assert jobs_of(runs, "weak") == {}


def test_a_pod_that_is_deleted_while_it_saves(runs: Runs) -> None:
    """The PyTorchJob has failed at once, and the next attempt waits until the pod has ended."""
    fail_first(runs, "moved", Behaviour(run_for="100h", term_after="5s", term_exit_code=75))
    runs.apply("moved", SOON)
    runs.wait_phase("moved", "Loading")
    runs.kubectl("delete", "pod", "moved-1-master-0", "--wait=false")
    runs.wait("moved", "Running", "False", "Stopping")
    assert set(jobs_of(runs, "moved")) == {"moved-1"}
    runs.wait_phase("moved", "Complete", 90)
    first, second = (jobs_of(runs, "moved")[f"moved-{n}"] for n in (1, 2))
    assert created(second) - failed_at(first) >= timedelta(seconds=4)
    (failure,) = status(runs, "moved")["recovery"]["failures"]
    assert failure["kind"] == "Disruption"


def test_a_pytorchjob_that_is_deleted(runs: Runs) -> None:
    fail_first(runs, "lost", FOR_EVER, logs=lines({**STEP, "step": 430}))
    runs.apply("lost", SOON)
    runs.wait_phase("lost", "Training")
    runs.kubectl("delete", "pytorchjob", "lost-1")
    runs.wait_phase("lost", "Complete", 90)
    found = status(runs, "lost")
    (failure,) = found["recovery"]["failures"]
    assert (failure["reason"], failure["step"]) == ("WorkloadDeleted", 430)
    assert (found["attempt"], found["recovery"]["disruptions"]) == (2, 1)
    assert set(jobs_of(runs, "lost")) == {"lost-2"}


def test_an_operator_that_is_started_again_keeps_the_time(runs: Runs, operator: Operator) -> None:
    fail_first(runs, "kept", Behaviour(exit_code=71))
    runs.apply("kept", SPEC | {"recovery": {"backoffSeconds": 15}})
    runs.wait("kept", "Scheduled", "False", "Recovering", 60)
    begins = status(runs, "kept")["recovery"]["nextAttemptTime"]
    operator.kill()
    operator.start()
    runs.wait_phase("kept", "Complete", 90)
    second = jobs_of(runs, "kept")["kept-2"]
    due = parse_time(begins)
    assert due is not None
    assert created(second) >= due
    times = {
        one["recovery"]["nextAttemptTime"]
        for one in runs.statuses("kept")
        if "nextAttemptTime" in one.get("recovery", {})
    }
    assert times == {begins}


def test_a_status_that_is_wiped_gives_no_attempt_back(runs: Runs) -> None:
    """Neither while the next attempt is awaited nor while it is at work."""
    runs.behave("wiped", "train", Behaviour(exit_code=71))
    runs.apply("wiped", SPEC | {"recovery": {"maxRetries": 2, "backoffSeconds": 4}})

    def wipe() -> None:
        wiped = json.dumps([{"op": "remove", "path": "/status"}])
        runs.kubectl(
            "patch", "qit", "wiped", "--subresource=status", "--type=json", f"--patch={wiped}"
        )

    runs.wait("wiped", "Scheduled", "False", "Recovering", 60)
    wipe()
    wait_until(lambda: "wiped-2" in jobs_of(runs, "wiped"), "the second attempt", 60)
    wipe()
    message = runs.wait("wiped", "Failed", "True", "GpuFailed", 90)
    assert "no attempt more is left (spec.recovery.maxRetries is 2)" in message
    assert set(jobs_of(runs, "wiped")) == {"wiped-1", "wiped-2", "wiped-3"}
    found = status(runs, "wiped")
    assert (found["attempt"], found["recovery"]["retries"]) == (3, 3)


def fail_twice(runs: Runs, name: str) -> None:
    runs.behave(name, "train")
    for attempt in (1, 2):
        runs.behave(name, "train", Behaviour(exit_code=71), attempt=attempt)


def nodes_of(runs: Runs, name: str) -> list[str]:
    """Where each attempt that has failed was."""
    return [each["node"] for each in status(runs, name)["recovery"]["failures"]]


def test_a_third_attempt_goes_to_another_node_than_two_failures(
    runs: Runs, pair: tuple[str, str]
) -> None:
    bad, good = pair
    fail_twice(runs, "moves")
    runs.apply("moves", PAIR)
    runs.wait_phase("moves", "Complete", 120)
    assert nodes_of(runs, "moves") == [bad, bad]
    assert status(runs, "moves")["node"] == good
    third = jobs_of(runs, "moves")["moves-3"]
    assert third["metadata"]["annotations"]["qinstruct.dev/avoided-nodes"] == bad


def test_a_run_whose_only_node_is_avoided_says_how_to_go_there_again(
    runs: Runs, pair: tuple[str, str]
) -> None:
    bad, good = pair
    runs.kubectl("delete", "node", good)
    fail_twice(runs, "stays")
    runs.apply("stays", PAIR)
    message = runs.wait("stays", "Scheduled", "False", "Unschedulable", 90)
    assert f"it is kept from {bad}, where this run has failed twice" in message
    (command,) = (part for part in message.split("`") if part.startswith("kubectl delete"))
    runs.kubectl(*command.split()[1:])
    runs.wait_phase("stays", "Complete", 90)
    found = status(runs, "stays")
    assert (found["attempt"], found["node"]) == (4, bad)
    assert (found["recovery"]["retries"], found["recovery"]["disruptions"]) == (2, 1)
