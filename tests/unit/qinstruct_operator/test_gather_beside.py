"""What is there beside a run's own children: pods that remain, and what others have made."""

import asyncio
from typing import Any

import pytest

from qinstruct_operator.cluster.errors import Forbidden
from qinstruct_operator.cluster.port import Resource
from qinstruct_operator.constants import LABEL_ATTEMPT, LABEL_RUN, LABEL_USE
from qinstruct_operator.kinds import CLAIM, CONFIG_MAP, JOB, NODE, POD, TRAINING
from qinstruct_operator.reconcile import Told
from support.kinds import PYTORCHJOB
from support.observed import (
    NAMESPACE,
    OTHER_UID,
    child,
    condition_reasons,
    message,
    pod,
    pytorchjob,
    running,
    unreachable,
)
from support.simulation.run_scenarios import run_to_rest, until
from support.simulation.simulated_cluster import Scenario, SimulatedCluster

FORBIDDEN = Forbidden("pods is forbidden", status=403)
WORKLOADS = {
    "hear x-prep": ("delete Job x-prep", JOB, "x-prep", "Prepared"),
    "hear x-1": ("delete PyTorchJob x-1", PYTORCHJOB, "x-1", "Scheduled"),
}


@pytest.mark.parametrize("step", WORKLOADS)
def test_a_pod_that_outlives_its_workload_keeps_another_from_starting(step: str) -> None:
    """As after `kubectl delete --cascade=orphan`: the pod has no owner, and is still at work."""
    deletion, kind, name, condition = WORKLOADS[step]

    async def see() -> None:
        simulated = await until(step)
        await simulated.reconcile()
        (pod,) = [one for one in await simulated.names(POD) if one.startswith(name)]
        simulated.cluster.edit(
            POD, NAMESPACE, pod, lambda found: found["metadata"].pop("ownerReferences")
        )
        await simulated.perform((await simulated.user_actions())[deletion])
        for _ in range(2):
            await simulated.reconcile()
            status = await simulated.status()
            assert condition_reasons(status)[condition] == ("False", "PodRemains")
            assert f"({pod} on node " in message(status, condition)
            assert await simulated.names(kind) == []
        simulated.cluster.delete(POD, NAMESPACE, pod)
        await simulated.reconcile()
        if kind == JOB:
            assert await simulated.names(kind) == [name]
        await run_to_rest(simulated)
        assert await simulated.names(kind) == [name if kind == JOB else "x-2"]
        assert (await simulated.status()).phase == "Complete"

    asyncio.run(see())


@pytest.mark.parametrize("step", WORKLOADS)
def test_a_pod_that_remains_on_a_dead_node_does_not_go_by_itself(step: str) -> None:
    deletion, _, name, condition = WORKLOADS[step]

    async def see() -> None:
        simulated = await until(step)
        await simulated.reconcile()
        (pod,) = [one for one in await simulated.names(POD) if one.startswith(name)]
        simulated.cluster.edit(
            POD, NAMESPACE, pod, lambda found: found["metadata"].pop("ownerReferences")
        )
        await simulated.perform((await simulated.user_actions())[deletion])
        simulated.cluster.set_status(NODE, None, "node-1", unreachable()["status"])
        await simulated.reconcile()
        said = message(await simulated.status(), condition)
        assert f"{pod} does not go by itself until that node is back" in said
        simulated.cluster.delete(NODE, None, "node-1")
        await simulated.reconcile()
        said = message(await simulated.status(), condition)
        assert "node node-1 is gone from the cluster" in said
        simulated.cluster.fail(Forbidden("get node node-1: forbidden"), "get", kind=NODE, times=9)
        await simulated.reconcile()
        assert "let it end" in message(await simulated.status(), condition)

    asyncio.run(see())


@pytest.mark.parametrize("spec", [{}, {"data": {"claimName": "a"}, "output": {"claimName": "b"}}])
def test_a_run_made_again_waits_for_the_pod_of_the_earlier_one(spec: dict[str, Any]) -> None:
    """Also in the pass that reads nothing else, where no child of the earlier run is left."""

    async def see() -> None:
        simulated = SimulatedCluster(Scenario(), **spec)
        for group in spec.values():
            await simulated.cluster.create(claim_for(group["claimName"], spec))
        earlier = running_pod(pytorchjob(owner=OTHER_UID))
        await simulated.cluster.create(earlier)
        await simulated.create_run()
        await simulated.reconcile()
        status = await simulated.status()
        assert condition_reasons(status)["Prepared"] == ("False", "PodRemains")
        assert await simulated.names(CONFIG_MAP) == await simulated.names(JOB) == []
        assert await simulated.names(CLAIM) == [each["claimName"] for each in spec.values()]
        simulated.cluster.delete(POD, NAMESPACE, earlier["metadata"]["name"])
        await simulated.reconcile()
        assert await simulated.names(JOB) == ["x-prep"]

    asyncio.run(see())


def claim_for(name: str, spec: dict[str, Any]) -> dict[str, Any]:
    """A claim that is there for the run, by its label."""
    use = "output" if spec.get("output") == {"claimName": name} else "cache"
    raw = child("PersistentVolumeClaim", name, owner=None, ours=False)
    raw["metadata"]["labels"] = {LABEL_USE: use}
    return raw | {"apiVersion": CLAIM.api_version, "spec": {}}


def running_pod(workload: dict[str, Any]) -> dict[str, Any]:
    """A pod of a workload that is gone."""
    raw = pod(workload, running()) | {"apiVersion": "v1"}
    return raw | {
        "metadata": raw["metadata"] | {"namespace": NAMESPACE, "labels": {LABEL_RUN: "x"}}
    }


@pytest.mark.parametrize("owner", [None, OTHER_UID], ids=["nobody's", "another's"])
def test_a_training_workload_that_somebody_else_made_is_seen_before_prep(owner: str | None) -> None:
    async def see() -> None:
        simulated = SimulatedCluster(Scenario())
        await simulated.create_run()
        foreign = pytorchjob(owner=owner, ours=False) | {"apiVersion": PYTORCHJOB.api_version}
        await simulated.cluster.create(foreign | {"spec": {}})
        await simulated.reconcile()
        status = await simulated.status()
        assert condition_reasons(status)["Accepted"] == ("False", "NameTaken")
        assert "PyTorchJob x-1 is there and was not made for this run" in message(
            status, "Accepted"
        )
        assert await simulated.names(JOB) == await simulated.names(CONFIG_MAP) == []
        simulated.cluster.delete(PYTORCHJOB, NAMESPACE, "x-1")
        await run_to_rest(simulated)
        assert (await simulated.status()).phase == "Complete"

    asyncio.run(see())


@pytest.mark.parametrize("uninstalled", [False, True], ids=["forbidden", "unknown kind"])
def test_a_name_that_nobody_can_look_up_is_not_said_to_be_free(uninstalled: bool) -> None:
    async def see() -> None:
        simulated = SimulatedCluster(Scenario())
        await simulated.create_run()
        if uninstalled:
            simulated.cluster.uninstall(PYTORCHJOB)
        else:
            simulated.cluster.fail(FORBIDDEN, "get", kind=PYTORCHJOB, times=2)
        with pytest.raises(Told):
            await simulated.reconcile()
        status = await simulated.status()
        assert condition_reasons(status)["Accepted"] == ("Unknown", "Unreadable")
        said = "PyTorchJob is not installed" if uninstalled else "pods is forbidden"
        assert said in message(status, "Accepted")
        assert await simulated.names(JOB) == []
        simulated.cluster.install(PYTORCHJOB)
        await run_to_rest(simulated)
        assert (await simulated.status()).phase == "Complete"

    asyncio.run(see())


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        ({"data": {"claimName": "db"}}, "db"),
        ({"output": {"claimName": "db"}}, "db"),
        ({}, "qinstruct-cache"),
        ({}, "x-output"),
    ],
    ids=["named as cache", "named as output", "the cache's name", "the output's name"],
)
def test_a_claim_that_others_made_is_seen_before_prep(spec: dict[str, Any], name: str) -> None:
    """In the first pass, too: a pod that mounts it even once is one too many."""

    async def see() -> None:
        simulated = SimulatedCluster(Scenario(), **spec)
        foreign = child("PersistentVolumeClaim", name, owner=None, ours=False)
        await simulated.cluster.create(foreign | {"apiVersion": CLAIM.api_version, "spec": {}})
        await simulated.create_run()
        for _ in range(2):
            await simulated.reconcile()
            status = await simulated.status()
            assert condition_reasons(status)["Prepared"] == ("False", "ClaimNotAllowed")
            assert await simulated.names(JOB) == []
        simulated.cluster.delete(CLAIM, NAMESPACE, name)
        await simulated.reconcile()
        if spec:  # a name of somebody's, also while nothing has it
            prepared = condition_reasons(await simulated.status())["Prepared"]
            assert prepared == ("False", "ClaimNotAllowed")
            assert f"claim {name} is not there" in message(await simulated.status(), "Prepared")
            assert await simulated.names(JOB) == []
            await simulated.cluster.create(claim_for(name, spec))
            await simulated.reconcile()
        assert await simulated.names(JOB) == ["x-prep"]

    asyncio.run(see())


@pytest.mark.parametrize("spec", [{"data": {"claimName": "db"}}, {"output": {"claimName": "db"}}])
def test_no_pod_waits_for_a_claim_that_somebody_may_make(spec: dict[str, Any]) -> None:
    """From the first pass on: the victim's claim would be mounted as soon as it is there."""

    async def see() -> None:
        simulated = SimulatedCluster(Scenario(), **spec)
        await simulated.create_run()
        for _ in range(2):
            await simulated.reconcile()
            prepared = condition_reasons(await simulated.status())["Prepared"]
            assert prepared == ("False", "ClaimNotAllowed")
            assert await simulated.names(JOB) == []

    asyncio.run(see())


def test_no_empty_claim_is_made_beside_a_suspended_workload() -> None:
    """Its ended pod is history, and not what says that nothing is missing."""

    async def see() -> None:
        simulated = await until("hear x-1", 3)
        await simulated.reconcile()
        simulated.cluster.edit(
            PYTORCHJOB,
            NAMESPACE,
            "x-1",
            lambda found: found["spec"]["runPolicy"].update(suspend=True),
        )
        await simulated.end("x-1-0", 75)
        await simulated.reconcile()
        simulated.cluster.delete(CLAIM, NAMESPACE, "x-output")
        for _ in range(2):
            await simulated.reconcile()
            assert "x-output" not in await simulated.names(CLAIM)
        scheduled = condition_reasons(await simulated.status())["Scheduled"]
        assert scheduled == ("False", "ClaimLost")

    asyncio.run(see())


def test_an_attempt_whose_label_somebody_took_away_is_the_last_all_the_same() -> None:
    """The status is wiped as well, so that neither it nor a list tells of the second attempt."""

    async def see() -> None:
        simulated = await until("start the container of x-2", scenario=Scenario(training=(71, 0)))
        await simulated.reconcile()

        def bare(found: Resource) -> None:
            found["metadata"]["labels"] = {LABEL_ATTEMPT: "2"}

        simulated.cluster.edit(PYTORCHJOB, NAMESPACE, "x-2", bare)
        simulated.cluster.set_status(TRAINING, NAMESPACE, "x", {})
        for _ in range(3):
            await simulated.reconcile()
            simulated.wait()
        status = await simulated.status()
        assert (status.attempt, status.phase) == (2, "Loading")
        assert await simulated.names(PYTORCHJOB) == ["x-1", "x-2"]

    asyncio.run(see())
