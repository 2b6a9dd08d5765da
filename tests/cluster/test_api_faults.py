"""Each run completes whatever goes wrong between the operator and the API server.

Each fault is injected into a run of its own, with an operator of its own behind a proxy. Where a
watch must bring the change, the operator's periodic reconciliation is set to once an hour.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Final

import pytest

from cluster.clients.fault_rules import Answer, Delay, Precede, Reset, Rule
from cluster.clients.isolated_runs import IsolatedRuns, isolated_runs
from cluster.clients.proxy import FaultProxy
from cluster.harness.api_request import MERGE, runs_path, send_request
from cluster.harness.kwok import Behaviour
from cluster.harness.processes import wait_until
from cluster.harness.testcluster import TestCluster

pytestmark = pytest.mark.cluster

LIFE: Final = Behaviour(start_after="300ms", run_for="1200ms")
WRITES: Final = "PATCH|PUT|POST"
JOBS: Final = "/batch/v1/.*/jobs"
NUM_WATCHES: Final = 4  # runs, Jobs, PyTorchJobs, pods
ONLY_WATCHES: Final = {"QINSTRUCT_PROGRESS_SECONDS": "3600"}


@pytest.fixture(scope="module")
def faulty(test_cluster: TestCluster) -> Iterator[IsolatedRuns]:
    with isolated_runs(test_cluster, "faulty", LIFE) as made:
        yield made


NO_PAGE: Final = Answer(404, body=b"404 page not found\n")

# The operator waits 1, 2, 4 ... seconds after failures in a row; hence few in a row.
RULES: Final = {
    "conflicts": [
        Rule(Answer(409), "PUT|PATCH", "/status", nth=1, times=3),
        Rule(Answer(409), "PUT|PATCH", "/status", nth=6, times=2),
    ],
    "too-many-requests": [
        Rule(Answer(429, retry_after=2), WRITES, JOBS),
        Rule(Answer(429, retry_after=2), "POST", "/events", nth=2),
        Rule(Answer(429, retry_after=2), "GET", "watch=true", nth=2, times=3),
    ],
    "internal-errors": [
        Rule(Answer(500), WRITES, nth=2),
        Rule(Answer(500), WRITES, "/pytorchjobs"),
        Rule(Answer(500), "GET", "/qinstructtrainings/faulty", nth=3),
        Rule(Answer(500), "GET", "/log", nth=1),
        Rule(Answer(500), "GET", "/pods", nth=4),
    ],
    "unavailable": [
        Rule(Answer(503), WRITES, "/persistentvolumeclaims"),
        Rule(Answer(503), WRITES, "/status", nth=2),
        Rule(Answer(503), "GET", "watch=true", nth=1, times=2),
    ],
    "resets-before": [
        Rule(Reset("before"), WRITES, "/configmaps"),
        Rule(Reset("before"), WRITES, "/status", nth=3),
        Rule(Reset("before"), "GET", JOBS, nth=2),
    ],
    "resets-after": [
        Rule(Reset("after"), WRITES, JOBS),
        Rule(Reset("after"), WRITES, "/pytorchjobs"),
        Rule(Reset("after"), WRITES, "/events", nth=2, times=2),
        Rule(Reset("after"), WRITES, "/status", nth=2, times=2),
    ],
    "unknown-kinds": [
        # As while a CustomResourceDefinition is made again, of what is there all the same.
        Rule(NO_PAGE, "GET", "/qinstructtrainings/faulty$", nth=2, times=2),
        Rule(NO_PAGE, "GET", "/jobs/", nth=2),
        Rule(NO_PAGE, "GET", "/pytorchjobs/", nth=2),
        Rule(NO_PAGE, "GET", "/pytorchjobs/", nth=4, times=2),
    ],
    "delays": [
        Rule(Delay(1.5), WRITES, JOBS),
        Rule(Delay(1.5), WRITES, "/status", nth=2, times=2),
        Rule(Delay(1.5), "GET", "/pods"),
    ],
}


@pytest.mark.parametrize("name", RULES)
def test_a_run_completes_although_requests_fail(faulty: IsolatedRuns, name: str) -> None:
    faulty.create_namespaces([name])
    with faulty.operator(name) as (proxy, operator):
        proxy.add(*RULES[name])
        proxy.cut_watches()  # those that are open already are under the rules too
        faulty.create_run(name)
        faulty.observer.wait_complete(name)
    assert proxy.unmet == ()
    assert faulty.observer.violations(name) == []
    assert "Traceback" not in operator.log


def test_the_operator_waits_as_long_as_the_server_asks(faulty: IsolatedRuns) -> None:
    faulty.create_namespaces(["patient"])
    with faulty.operator("patient") as (proxy, _):
        proxy.add(Rule(Answer(429, retry_after=4), WRITES, JOBS))
        faulty.create_run("patient")
        faulty.observer.wait_complete("patient")
    refused, repeated = (one for one in proxy.writes if "/batch/v1/" in one.path)
    assert (refused.status, repeated.status) == (429, 201)
    assert repeated.time - refused.time >= 4


def test_a_concurrent_write_is_a_conflict_and_is_retried(faulty: IsolatedRuns) -> None:
    """A real conflict: reconciliation is retried, and its events are written once."""
    raced = replace(faulty, name="raced")
    raced.cluster.kwok.behave("raced", "prep", Behaviour(run_for="3s"))
    raced.create_namespaces(["raced"])
    label = {"metadata": {"labels": {"team": "vision"}}}
    path = runs_path("raced", "raced")
    answers: list[bool] = []

    def write() -> None:
        answers.append(send_request(raced.cluster.api, "PATCH", path, label, content_type=MERGE).ok)

    with raced.operator("raced") as (proxy, _):
        proxy.add(Rule(Precede(write), "PUT|PATCH", "/status", body='"phase": ?"Preparing"'))
        raced.create_run("raced")
        raced.observer.wait_complete("raced")
    assert answers == [True]
    assert [one.status for one in proxy.writes if one.fault] == [409]
    assert raced.observer.violations("raced") == []


@dataclass(frozen=True)
class Disturbance:
    """What is done to the watches once the prep pod runs, and the environment of the operator."""

    disturb: Callable[[FaultProxy], int]
    environment: dict[str, str]


def silence(proxy: FaultProxy) -> int:
    return proxy.silence_watches()


def cut(proxy: FaultProxy) -> int:
    return proxy.cut_watches()


def expire(proxy: FaultProxy) -> int:
    return proxy.expire_watches()


WATCHES: Final = {
    "silent": Disturbance(silence, {"TEST_INACTIVITY_SECONDS": "3"}),
    "cut": Disturbance(cut, {}),
    "expired": Disturbance(expire, {}),
}


def _watched_since(proxy: FaultProxy, moment: float) -> set[str]:
    """Paths of the watches that were opened since then."""
    return {
        one.path.partition("?")[0]
        for one in proxy.exchanges
        if one.is_watch and one.time > moment and one.status == 200
    }


@pytest.mark.parametrize("name", WATCHES)
def test_disturbed_watches_are_reopened(faulty: IsolatedRuns, name: str) -> None:
    namespace, disturbance = f"watches-{name}", WATCHES[name]
    faulty.create_namespaces([namespace])
    environment = ONLY_WATCHES | disturbance.environment
    with faulty.operator(namespace, environment) as (proxy, operator):
        faulty.create_run(namespace)
        wait_until(lambda: "Preparing" in faulty.observer.phases(namespace), "Preparing")
        wait_until(lambda: proxy.num_open_watches == NUM_WATCHES, "all watches are open")
        # Some are open again before the proxy has disturbed all of them.
        moment, disturbed = time.monotonic(), disturbance.disturb(proxy)
        faulty.observer.wait_complete(namespace)
        # The run may end before the last one is open: kopf waits between two attempts.
        wait_until(lambda: len(_watched_since(proxy, moment)) == NUM_WATCHES, "all are open again")
    assert disturbed == NUM_WATCHES
    assert faulty.observer.violations(namespace) == []
    assert "Traceback" not in operator.log


def test_watches_that_are_cut_all_the_time(faulty: IsolatedRuns) -> None:
    faulty.create_namespaces(["cut-often"])
    with faulty.operator("cut-often", ONLY_WATCHES) as (proxy, _):
        faulty.create_run("cut-often")
        deadline, num_cut = time.monotonic() + 90, 0
        while not faulty.observer.is_complete("cut-often"):
            assert time.monotonic() < deadline
            time.sleep(0.3)
            num_cut += proxy.cut_watches()
    assert num_cut >= 8
    assert faulty.observer.violations("cut-often") == []


@pytest.mark.parametrize("phase", ["Preparing", "Loading"])
def test_the_api_server_is_killed_and_started_again(faulty: IsolatedRuns, phase: str) -> None:
    namespace = f"bounced-{phase.lower()}"
    faulty.create_namespaces([namespace])
    with faulty.operator(namespace) as (proxy, _):
        faulty.create_run(namespace)
        wait_until(lambda: phase in faulty.observer.phases(namespace), phase)
        begin = time.monotonic()
        faulty.cluster.bounce("kube-apiserver")
        up = time.monotonic()
        faulty.observer.wait_complete(namespace)
    lost = [one for one in proxy.exchanges if begin < one.time < up and one.status is None]
    assert lost, "the operator asked nothing while the server was away"
    assert faulty.observer.violations(namespace) == []
