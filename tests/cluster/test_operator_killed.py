"""The operator is killed at each of its writes during a run, and started again.

Each write is tested with a run of the published 7B file in a namespace of its own, and with an
operator of its own behind a proxy. The proxy kills the operator before the API server gets the
request, or after the server has answered it and before the operator gets the answer.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import pytest

from cluster.clients.fault_rules import Kill, Moment, Rule
from cluster.clients.isolated_runs import (
    IsolatedRuns,
    KillPoint,
    all_kills,
    isolated_runs,
    kill_at,
)
from cluster.harness.kwok import Behaviour
from cluster.harness.processes import wait_until
from cluster.harness.testcluster import TestCluster
from support.matrix import sampled

pytestmark = pytest.mark.cluster

LIFE = Behaviour(start_after="500ms", run_for="1200ms")
SLOWER = Behaviour(start_after="3s", run_for="6s")
"""A state may pass between two looks of an operator on a busy machine: the run's next life."""

Write = tuple[str, str, str, int]
"""Patterns of a write request: method, path, body; and which of the matching ones it is."""


def child(plural: str, name: str = "", nth: int = 1) -> Write:
    return ("POST|PATCH", f"/{plural}[/?]", f'"name": ?"{name}' if name else "", nth)


def event(reason: str) -> Write:
    return ("POST", "/events", f'"reason": ?"{reason}"', 1)


def status(key: str, value: str) -> Write:
    return ("PUT|PATCH", "/status", f'"{key}": ?"{value}"', 1)


POINTS: dict[str, Write] = {
    "the first ConfigMap": child("configmaps"),
    "the cache claim": child("persistentvolumeclaims", "qinstruct-cache"),
    "the output claim": child("persistentvolumeclaims", "killed-output"),
    "the prep Job": child("jobs"),
    "event Accepted": event("Accepted"),
    "the first status": status("phase", ".*"),
    "status Starting": status("phase", "Starting"),
    "event Preparing": event("Preparing"),
    "status Preparing": status("phase", "Preparing"),
    "the PyTorchJob": child("pytorchjobs"),
    "event Prepared": event("Prepared"),
    "status Prepared": status("reason", "Prepared"),
    "event Scheduled": event("Scheduled"),
    "status Scheduled": status("reason", "Scheduled"),
    "event Loading": event("Loading"),
    "status Loading": status("phase", "Loading"),
    "event Complete": event("Complete"),
    "status Complete": status("phase", "Complete"),
}
# Between the end of a pod and the end of its job; not every run has this write.
BY_CHANCE = ("PUT|PATCH", "/status", '"phase": ?"Finished"', 1)
MOMENTS: tuple[Moment, Moment] = ("before", "after")
KILLS = sampled([(point, moment) for moment in MOMENTS for point in POINTS], 14)
_LAST_WRITE = 5.0  # seconds from a run's end until its operator has written all


@dataclass(frozen=True)
class Outcome:
    """What was observed of one run."""

    violations: list[str]
    phases: list[str]
    log: str


Outcomes = dict[KillPoint, Outcome | Exception]


@pytest.fixture(scope="module")
def killed(test_cluster: TestCluster) -> Iterator[IsolatedRuns]:
    with isolated_runs(test_cluster, "killed", LIFE) as made:
        yield made


@pytest.fixture(scope="module")
def outcomes(killed: IsolatedRuns) -> Outcomes:
    killed.create_namespaces(_namespace(*one) for one in KILLS)
    return all_kills(partial(kill_and_restart, killed), KILLS)


def kill_and_restart(killed: IsolatedRuns, point: str, moment: Moment) -> Outcome:
    """Kill one operator at that point, start it again at once, and wait for the run's end.

    Raises:
        TimeoutError: a run that lived slowly had no such write either.
    """
    namespace = _namespace(point, moment)
    for name, life in ((namespace, LIFE), (f"{namespace}-slower", SLOWER)):
        if name != namespace:
            killed.create_namespaces([name])
        for component in ("prep", "train"):
            killed.cluster.kwok.behave(killed.name, component, life, namespace=name)
        if outcome := _outcome(killed, name, POINTS[point], moment):
            return outcome
    raise TimeoutError(f"{namespace}: {point} was never written")


def _outcome(killed: IsolatedRuns, namespace: str, write: Write, moment: Moment) -> Outcome | None:
    """None where the run completed without that write."""
    seen = killed.observer
    with killed.operator(namespace) as (proxy, operator):
        is_dead = kill_at(proxy, operator, write, moment)
        killed.create_run(namespace)
        ended = f"{namespace}: the kill, or the run's end"
        wait_until(lambda: is_dead.is_set() or seen.is_complete(namespace), ended)
        if not is_dead.wait(_LAST_WRITE):
            return None
        operator.start()
        seen.wait_complete(namespace)
        log = operator.log
    return Outcome(seen.violations(namespace), seen.phases(namespace), log)


def _namespace(point: str, moment: Moment) -> str:
    return f"{moment}-{point.replace(' ', '-').lower()}"


@pytest.mark.parametrize(("point", "moment"), KILLS)
def test_a_run_completes_although_its_operator_was_killed(
    outcomes: Outcomes, point: str, moment: Moment
) -> None:
    outcome = outcomes[point, moment]
    if isinstance(outcome, Exception):
        raise outcome
    assert outcome.violations == [], outcome.phases
    assert "Traceback" not in outcome.log


def test_every_write_of_a_run_is_a_kill_point(killed: IsolatedRuns) -> None:
    killed.create_namespaces(["undisturbed"])
    with killed.operator("undisturbed") as (proxy, _):
        killed.create_run("undisturbed")
        killed.observer.wait_complete("undisturbed")
    rules = [Rule(Kill(print, "before"), *what) for what in (*POINTS.values(), BY_CHANCE)]
    missed = [one.path for one in proxy.writes if not any(rule.matches(one) for rule in rules)]
    assert missed == []
    assert killed.observer.violations("undisturbed") == []
