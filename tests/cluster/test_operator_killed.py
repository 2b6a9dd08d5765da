"""The operator is killed at every point of the line where it writes, and started again.

Each point is a run of the published 7B file in a namespace of its own, with an operator of its
own whose every request passes through a proxy: that kills it before the API server gets the
request, or when the server has done it and the operator does not know yet.
"""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from cluster.kwok import Behaviour
from cluster.operator_process import install, operator_process
from cluster.processes import wait_until
from cluster.proxy import Exchange, Kill, Moment, Rule, fault_proxy
from cluster.testcluster import TestCluster
from cluster.witness import Witness, create_runs, witness

pytestmark = pytest.mark.cluster

# Long enough for each state to be seen before it passes, on a machine that is busy.
LIFE = Behaviour(start_after="500ms", run_for="1200ms")
SIDE_BY_SIDE = 6

# By name, what a write request looks like: method, path, body, and which of those it is.
POINTS: dict[str, tuple[str, str, str, int]] = {
    "the first ConfigMap": ("PATCH", "/configmaps/", "", 1),
    "the cache claim": ("PATCH", "/persistentvolumeclaims/qinstruct-cache", "", 1),
    "the output claim": ("PATCH", "/persistentvolumeclaims/run-7b-after-output", "", 1),
    "the prep Job": ("PATCH", "/jobs/", "", 1),
    "event Accepted": ("POST", "/events", '"reason": ?"Accepted"', 1),
    "the first status": ("PUT", "/status", "", 1),
    "event Starting of prep": ("POST", "/events", '"reason": ?"Starting"', 1),
    "status Starting of prep": ("PUT", "/status", '"phase": ?"Starting"', 1),
    "event Preparing": ("POST", "/events", '"reason": ?"Preparing"', 1),
    "status Preparing": ("PUT", "/status", '"phase": ?"Preparing"', 1),
    "the second ConfigMap": ("PATCH", "/configmaps/", "", 2),
    "the PyTorchJob": ("PATCH", "/pytorchjobs/", "", 1),
    "event Prepared": ("POST", "/events", '"reason": ?"Prepared"', 1),
    "status Prepared": ("PUT", "/status", '"reason": ?"Prepared"', 1),
    "event Scheduled": ("POST", "/events", '"reason": ?"Scheduled"', 1),
    "status Scheduled": ("PUT", "/status", '"reason": ?"Scheduled"', 1),
    "event Loading": ("POST", "/events", '"reason": ?"Loading"', 1),
    "status Loading": ("PUT", "/status", '"phase": ?"Loading"', 1),
    "event Complete": ("POST", "/events", '"reason": ?"Complete"', 1),
    "status Complete": ("PUT", "/status", '"phase": ?"Complete"', 1),
}
# Between the end of a pod and the end of its job; seen by chance.
BY_CHANCE = ("POST|PUT", "/events|/status", '"(reason|phase)": ?"Finishing"', 1)
MOMENTS: tuple[Moment, Moment] = ("before", "after")


@dataclass(frozen=True)
class Outcome:
    """What is left of one run."""

    violations: list[str]
    phases: list[str]
    log: str


@dataclass(frozen=True)
class Killing:
    """One operator, one proxy, one run, and perhaps one kill."""

    cluster: TestCluster
    witness: Witness
    token: str

    def run(self, namespace: str, point: str, moment: Moment) -> Outcome:
        """Kill at that point, start again at once, wait for the end."""
        method, path, body, nth = POINTS[point]
        api, killed = self.cluster.api, threading.Event()
        with fault_proxy(api.url, api.ca) as proxy:
            kubeconfig = api.kubeconfig_for(self.token, proxy.url)
            folder = self.cluster.folder / namespace
            with operator_process(folder, kubeconfig, namespace=namespace) as operator:

                def kill() -> None:
                    operator.kill()
                    killed.set()

                proxy.add(Rule(Kill(kill, moment), method, path, body, nth))
                wait_until(killed.is_set, f"{namespace}: {moment} {point}: the kill")
                operator.start()
                self.witness.wait_complete(namespace)
                log = operator.log
        return Outcome(self.witness.violations(namespace), self.witness.phases(namespace), log)

    def undisturbed(self, namespace: str) -> tuple[Exchange, ...]:
        """The writes of a run that nothing happens to."""
        api = self.cluster.api
        with fault_proxy(api.url, api.ca) as proxy:
            kubeconfig = api.kubeconfig_for(self.token, proxy.url)
            folder = self.cluster.folder / namespace
            with operator_process(folder, kubeconfig, namespace=namespace):
                self.witness.wait_complete(namespace)
            return proxy.writes


@pytest.fixture(scope="module")
def killing(test_cluster: TestCluster) -> Iterator[Killing]:
    token = install(test_cluster.api)
    with witness(test_cluster) as seen:
        yield Killing(test_cluster, seen, token)


def _namespace(point: str, moment: Moment) -> str:
    return f"{moment}-{point.replace(' ', '-').lower()}"


@pytest.fixture(scope="module")
def outcomes(killing: Killing) -> dict[tuple[str, Moment], Outcome | BaseException]:
    """All points at once, some side by side: most of the time is waiting."""
    asked = [(point, moment) for moment in MOMENTS for point in POINTS]
    create_runs(killing.cluster, [_namespace(*one) for one in asked], LIFE)

    def outcome(one: tuple[str, Moment]) -> Outcome | BaseException:
        try:
            return killing.run(_namespace(*one), *one)
        except (RuntimeError, TimeoutError) as error:
            return error

    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        return dict(zip(asked, pool.map(outcome, asked), strict=True))


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("point", POINTS)
def test_a_run_completes_although_its_operator_was_killed(
    outcomes: dict[tuple[str, Moment], Outcome | BaseException], point: str, moment: Moment
) -> None:
    outcome = outcomes[point, moment]
    if isinstance(outcome, BaseException):
        raise outcome
    assert outcome.violations == [], outcome.phases
    assert "Traceback" not in outcome.log


def test_every_write_of_the_line_is_a_point(killing: Killing) -> None:
    create_runs(killing.cluster, ["undisturbed"], LIFE)
    writes = killing.undisturbed("undisturbed")
    kinds = [Rule(Kill(print, "before"), *what) for what in (*POINTS.values(), BY_CHANCE)]
    missed = [one.path for one in writes if not any(kind.matches(one) for kind in kinds)]
    assert missed == []
    assert killing.witness.violations("undisturbed") == []
