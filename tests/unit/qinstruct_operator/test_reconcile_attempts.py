"""Attempts that somebody deletes, hides or puts something in the way of: none is made twice."""

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from qinstruct_operator.api.status import RecoveryStatus
from qinstruct_operator.cluster.errors import ClusterError
from qinstruct_operator.cluster.port import Resource
from qinstruct_operator.handlers import unwritten
from qinstruct_operator.kinds import POD, TRAINING
from qinstruct_operator.reconcile import status_json
from support.kinds import PYTORCHJOB
from support.observed import NAMESPACE, condition_reasons
from support.simulation.run_scenarios import run_to_rest, until
from support.simulation.simulated_cluster import Scenario, SimulatedCluster

TWICE = Scenario(training=(137, 143, 0))


async def delete(simulated: SimulatedCluster, name: str) -> None:
    """A person deletes an attempt, and the cluster its pods."""
    for pod in await simulated.names(POD):
        if pod.startswith(f"{name}-"):
            simulated.cluster.delete(POD, NAMESPACE, pod)
    simulated.cluster.delete(PYTORCHJOB, NAMESPACE, name)


async def recovery_of(simulated: SimulatedCluster) -> RecoveryStatus:
    recovery = (await simulated.status()).recovery
    assert recovery is not None
    return recovery


@pytest.mark.parametrize("step", ["make a pod of x-2", "start the container of x-2", "settle x-2"])
def test_a_later_attempt_that_is_deleted_was_disturbed(step: str) -> None:
    """The failed one before it is still there."""

    async def see() -> None:
        simulated = await until(step, scenario=TWICE)
        await simulated.reconcile()
        await delete(simulated, "x-2")
        simulated.wait(seconds=1)
        for _ in range(2):
            await simulated.reconcile()
            recovery = await recovery_of(simulated)
            assert (recovery.retries, recovery.disruptions) == (1, 1)
            assert [each.attempt for each in recovery.failures] == [1, 2]
            assert recovery.next_attempt_time is not None
            assert await simulated.names(PYTORCHJOB) == ["x-1"]
            assert (await simulated.status()).attempt == 2
        await run_to_rest(simulated)
        assert await simulated.names(PYTORCHJOB) == ["x-1", "x-3"]
        assert (await simulated.status()).phase == "Complete"

    asyncio.run(see())


def test_deleting_attempts_gives_none_back() -> None:
    async def see() -> None:
        scenario = Scenario(training=(137, 0), recovery=(("maxDisruptions", 0),))
        simulated = await until("start the container of x-2", scenario=scenario)
        await simulated.reconcile()
        await delete(simulated, "x-2")
        await simulated.reconcile()
        reasons = condition_reasons(await simulated.status())
        assert reasons["Failed"] == ("True", "WorkloadDeleted")
        assert await simulated.names(PYTORCHJOB) == ["x-1"]

    asyncio.run(see())


def test_the_next_name_is_looked_at_when_the_failed_attempt_is_gone() -> None:
    async def see() -> None:
        simulated = await until("hear x-1", scenario=TWICE)
        await simulated.reconcile()
        await delete(simulated, "x-1")
        foreign: dict[str, Any] = {"apiVersion": "kubeflow.org/v1", "kind": "PyTorchJob"}
        await simulated.cluster.create(
            foreign | {"metadata": {"name": "x-2", "namespace": NAMESPACE}}
        )
        for _ in range(3):
            await simulated.reconcile()
            simulated.wait()
        status = await simulated.status()
        assert condition_reasons(status)["Accepted"] == ("False", "NameTaken")
        simulated.cluster.delete(PYTORCHJOB, NAMESPACE, "x-2")
        await simulated.reconcile()
        assert (await simulated.status()).phase == "Recovering"

    asyncio.run(see())


def test_the_next_attempt_is_found_without_its_label() -> None:
    """The operator died before it wrote of it, and the one before it is gone."""

    async def see() -> None:
        simulated = await until("settle x-1", scenario=TWICE)
        await simulated.reconcile()
        recorded = status_json(await simulated.status())
        simulated.wait()
        await simulated.reconcile()
        assert await simulated.names(PYTORCHJOB) == ["x-1", "x-2"]
        simulated.cluster.set_status(TRAINING, NAMESPACE, "x", recorded)
        await delete(simulated, "x-1")
        simulated.cluster.edit(
            PYTORCHJOB,
            NAMESPACE,
            "x-2",
            lambda raw: raw["metadata"]["labels"].pop("qinstruct.dev/run"),
        )
        await simulated.reconcile()
        status = await simulated.status()
        assert (status.attempt, status.phase) == (2, "Pending")
        assert await simulated.names(PYTORCHJOB) == ["x-2"]

    asyncio.run(see())


def test_a_crd_that_is_too_old_is_told() -> None:
    """It drops what no next attempt begins without."""

    async def see() -> None:
        simulated = await until("settle x-1", scenario=TWICE)
        put = simulated.cluster.replace_status

        async def prune(resource: Resource, status: Mapping[str, Any]) -> Resource:
            return await put(resource, {key: status[key] for key in status if key != "recovery"})

        simulated.cluster.replace_status = prune  # type: ignore[method-assign]
        for _ in range(2):
            with pytest.raises(ClusterError, match=r"is older than the operator.*apply") as told:
                await simulated.reconcile()
            assert unwritten([told.value]) == [str(told.value)]  # the operator is not ready
        assert await simulated.names(PYTORCHJOB) == ["x-1"]
        simulated.cluster.replace_status = put  # type: ignore[method-assign]
        await run_to_rest(simulated)
        assert (await simulated.status()).phase == "Complete"

    asyncio.run(see())
