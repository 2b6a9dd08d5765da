"""The operator hears of a run within 30 seconds of the end of whatever kept it from hearing.

On the real API server: its CRD comes after the operator or is made again, discovery and lists
answer 404, its token is replaced and the old one revoked, a watch answers what it should not.
Each time the same process goes on, without a traceback.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from cluster.clients.bad_replies import DISTURBANCES, UNTOLD
from cluster.clients.fault_rules import Answer, Rule
from cluster.clients.isolated_runs import IsolatedRuns, isolated_runs
from cluster.clients.operator_process import ACCOUNT, NAMESPACE, Operator, operator_process
from cluster.clients.proxy import FaultProxy, fault_proxy
from cluster.harness.api_request import runs_path, send_request
from cluster.harness.kwok import Behaviour
from cluster.harness.processes import wait_until
from cluster.harness.testcluster import TestCluster
from qinstruct_operator.constants import GROUP, PLURAL

pytestmark = pytest.mark.cluster

HEALED: Final = 30.0
NUM_WATCHES: Final = 4
CRD: Final = Path(__file__).parents[2] / "crds"
ABSENT_SECONDS: Final = 8.0
"""Long enough for a few attempts in vain."""


@dataclass(frozen=True)
class Scene:
    """An operator of one namespace behind a proxy."""

    runs: IsolatedRuns
    namespace: str
    proxy: FaultProxy
    operator: Operator
    kubeconfig: Path

    def expect_a_status(self, name: str) -> None:
        """Create a run; its status must come in time."""
        named = IsolatedRuns(self.runs.cluster, name, self.runs.token, self.runs.observer)
        named.create_run(self.namespace)
        path = runs_path(self.namespace, name)

        def has_status() -> bool:
            found = send_request(self.runs.cluster.api, "GET", path)
            return bool(found.content.get("status"))

        wait_until(has_status, f"a status of run {name}", HEALED)

    @property
    def troubles(self) -> list[str]:
        """Lines of the log about watches and lists of the runs, at WARNING or above."""
        lines = self.operator.log.splitlines()
        return [
            line
            for line in lines
            if ("[WARNING" in line or "[ERROR" in line) and f" {PLURAL} of " in line
        ]


@pytest.fixture(scope="module")
def deaf(test_cluster: TestCluster) -> Iterator[IsolatedRuns]:
    with isolated_runs(test_cluster, "deaf", Behaviour(start_after="300ms", run_for="1s")) as made:
        yield made


@contextmanager
def scene(runs: IsolatedRuns, namespace: str, *, watches: int = NUM_WATCHES) -> Iterator[Scene]:
    api = runs.cluster.api
    runs.create_namespaces([namespace])
    with fault_proxy(api.url, api.ca) as proxy:
        kubeconfig = api.kubeconfig_for(api.token(NAMESPACE, ACCOUNT), proxy.url)
        folder = api.folder / f"operator-{namespace}"
        with operator_process(folder, kubeconfig, namespaces=[namespace]) as operator:
            wait_until(lambda: proxy.num_open_watches == watches, "the watches are open")
            time.sleep(1.5)  # a watch that ends at once would be a trouble of its own
            pid = operator.pid
            yield Scene(runs, namespace, proxy, operator, kubeconfig)
            assert operator.pid == pid
            assert "Traceback" not in operator.log


def remove_crd(cluster: TestCluster) -> None:
    cluster.kubectl("delete", "crd", f"{PLURAL}.{GROUP}", "--wait=true")


def make_crd(cluster: TestCluster) -> None:
    cluster.api.apply(files=tuple(CRD.glob("qinstruct.dev_*.yaml")))
    cluster.kubectl("wait", "--for=condition=Established", f"crd/{PLURAL}.{GROUP}")


def test_the_crd_comes_after_the_operator(deaf: IsolatedRuns) -> None:
    remove_crd(deaf.cluster)
    try:
        with scene(deaf, "crd-later", watches=NUM_WATCHES - 1) as stage:
            time.sleep(ABSENT_SECONDS)
            make_crd(deaf.cluster)
            stage.expect_a_status("later")
            assert len(stage.troubles) == 1, stage.troubles
    finally:
        make_crd(deaf.cluster)


@pytest.mark.parametrize("absent", [0.0, ABSENT_SECONDS])
def test_the_crd_is_made_again(deaf: IsolatedRuns, absent: float) -> None:
    with scene(deaf, f"crd-again-{absent:.0f}") as stage:
        stage.expect_a_status("before")
        remove_crd(deaf.cluster)
        try:
            time.sleep(absent)
        finally:
            make_crd(deaf.cluster)
        stage.expect_a_status("later")
        assert len(stage.troubles) == 1, stage.troubles


def test_everything_about_runs_answers_404_for_some_seconds(deaf: IsolatedRuns) -> None:
    with scene(deaf, "not-found") as stage:
        about = Rule(Answer(404), "GET", f"^/apis(\\?|/{GROUP}|$)", times=1000)
        stage.proxy.add(about)
        stage.proxy.cut_watches()
        time.sleep(ABSENT_SECONDS)
        stage.proxy.clear()
        stage.expect_a_status("later")
        assert len(stage.troubles) == 1, stage.troubles


def test_discovery_answers_404_while_the_operator_starts(deaf: IsolatedRuns) -> None:
    api, namespace = deaf.cluster.api, "no-discovery"
    deaf.create_namespaces([namespace])
    with fault_proxy(api.url, api.ca) as proxy:
        found = f"^/apis(\\?|$|/[a-z.]+/v[a-z0-9]+(\\?|$))|^/api(/v1)?(\\?|$)|^/apis/{GROUP}/"
        proxy.add(Rule(Answer(404), "GET", found, times=1000))
        kubeconfig = api.kubeconfig_for(deaf.token, proxy.url)
        folder = api.folder / f"operator-{namespace}"
        with operator_process(folder, kubeconfig, namespaces=[namespace]) as operator:
            time.sleep(4)
            proxy.clear()
            Scene(deaf, namespace, proxy, operator, kubeconfig).expect_a_status("later")


def test_a_token_is_replaced_and_the_old_one_revoked(deaf: IsolatedRuns) -> None:
    cluster = deaf.cluster
    with scene(deaf, "token") as stage:
        stage.expect_a_status("before")
        # The tokens of an account end with it.
        cluster.kubectl("delete", "serviceaccount", ACCOUNT, f"--namespace={NAMESPACE}")
        cluster.kubectl("create", "serviceaccount", ACCOUNT, f"--namespace={NAMESPACE}")
        # The server remembers for ten seconds which tokens it has accepted.
        wait_until(lambda: "Unauthorized" in stage.operator.log, "the old token is refused", 60)
        token = cluster.api.token(NAMESPACE, ACCOUNT)
        cluster.api.kubeconfig_for(token, stage.proxy.url).replace(stage.kubeconfig)
        stage.expect_a_status("later")
        told = [line for line in stage.operator.log.splitlines() if "Unauthorized" in line]
        # Once for all watches and lists, and for the run whose pass was cut.
        assert len(told) <= 3, told


@pytest.fixture(scope="module")
def hearing(deaf: IsolatedRuns) -> Iterator[Scene]:
    with scene(deaf, "bad-replies") as stage:
        yield stage


@pytest.mark.parametrize("name", DISTURBANCES)
def test_one_bad_reply_to_a_watch_is_survived(hearing: Scene, name: str) -> None:
    wait_until(lambda: hearing.proxy.num_open_watches == NUM_WATCHES, "the watches are open")
    time.sleep(1.5)  # one that ends at once would be a trouble of its own
    before = len(hearing.troubles)
    DISTURBANCES[name](hearing.proxy)
    hearing.expect_a_status(f"run-{name.replace(chr(32), chr(45)).lower()}")
    assert hearing.proxy.unmet == ()
    assert len(hearing.troubles) - before == (name not in UNTOLD), hearing.troubles[before:]
