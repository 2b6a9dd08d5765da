"""The operator is killed at each write between two attempts, and started again: two are made."""

from collections.abc import Iterator
from functools import partial
from typing import Any, Final

import pytest

from cluster.clients.fault_rules import Moment
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

pytestmark = pytest.mark.cluster

NAME: Final = "between"
LIFE: Final = Behaviour(start_after="500ms", run_for="1200ms")
POINTS: Final = {
    "event-recovering": ("POST", "/events", '"reason": ?"Recovering"', 1),
    "status-recovering": ("PUT|PATCH", "/status", '"phase": ?"Recovering"', 1),
    "second-pytorchjob": ("POST", "/pytorchjobs", f'"name": ?"{NAME}-2"', 1),
    "status-second": ("PUT|PATCH", "/status", '"attempt": ?2[,}]', 1),
}
MOMENTS: Final[tuple[Moment, Moment]] = ("before", "after")
KILLS: Final = [(point, moment) for point in POINTS for moment in MOMENTS]

Outcomes = dict[KillPoint, dict[str, Any] | Exception]


@pytest.fixture(scope="module")
def outcomes(test_cluster: TestCluster) -> Iterator[Outcomes]:
    """The last state of each run; all kills, several in parallel: most of the time is waiting."""
    with isolated_runs(test_cluster, NAME, LIFE) as killed:
        killed.create_namespaces(f"{moment}-{point}" for point, moment in KILLS)
        yield all_kills(partial(kill_and_restart, killed), KILLS)


def kill_and_restart(killed: IsolatedRuns, point: str, moment: Moment) -> dict[str, Any]:
    namespace = f"{moment}-{point}"
    killed.cluster.kwok.behave(
        NAME, "train", Behaviour(exit_code=71), namespace=namespace, attempt=1
    )
    with killed.operator(namespace) as (proxy, operator):
        is_dead = kill_at(proxy, operator, POINTS[point], moment)
        killed.create_run(namespace, recovery={"backoffSeconds": 2})
        wait_until(is_dead.is_set, f"{namespace}: the kill", 90)
        operator.start()
        killed.observer.wait_complete(namespace)
    made = [
        (job["metadata"]["name"], job["metadata"]["uid"])
        for change in list(killed.observer.pytorchjobs.changes)
        if (job := change.object)["metadata"]["namespace"] == namespace
    ]
    (*_, last) = (
        run
        for change in list(killed.observer.trainings.changes)
        if (run := change.object)["metadata"]["namespace"] == namespace
    )
    return {"made": sorted(set(made)), "status": last["status"]}


@pytest.mark.parametrize(("point", "moment"), KILLS)
def test_two_attempts_are_made_although_the_operator_was_killed(
    outcomes: Outcomes, point: str, moment: Moment
) -> None:
    outcome = outcomes[point, moment]
    if isinstance(outcome, Exception):
        raise outcome
    assert [name for name, _ in outcome["made"]] == [f"{NAME}-1", f"{NAME}-2"]
    status = outcome["status"]
    assert (status["attempt"], status["recovery"]["retries"]) == (2, 1)
    assert [each["attempt"] for each in status["recovery"]["failures"]] == [1]
