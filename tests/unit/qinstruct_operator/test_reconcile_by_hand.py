"""A status that somebody has edited while a run is at work makes no second workload beside it."""

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qinstruct_operator.cluster.errors import ClusterError, UnknownKind
from qinstruct_operator.core.condition_list import is_finished
from qinstruct_operator.kinds import JOB, TRAINING
from qinstruct_operator.reconcile import Told
from support.kinds import PYTORCHJOB
from support.observed import NAMESPACE, OTHER_UID, condition_reasons
from support.simulation.run_scenarios import (
    SCENARIOS,
    expected_outcome,
    outcome,
    run_in_random_order,
    run_to_rest,
    until,
)
from support.simulation.simulated_cluster import SimulatedCluster

STEPS = ("make a pod of x-1", "find a node for x-1", "start the container of x-1")
EDITS: dict[str, dict[str, Any]] = {
    "raised": {"attempt": 2},
    "raised far": {"attempt": 99999},
    "beyond what is read": {"attempt": 100000},
    "no number": {"attempt": "two"},
    "lowered": {"attempt": 0},
    "wiped": {"attempt": None},
}


async def just_after(step: str) -> SimulatedCluster:
    """A run whose operator has seen what this step did."""
    simulated = await until(step)
    await simulated.reconcile()
    return simulated


async def edit_status(simulated: SimulatedCluster, change: dict[str, Any]) -> None:
    run = await simulated.cluster.get(TRAINING, NAMESPACE, "x")
    assert run is not None
    status = {key: value for key, value in (run["status"] | change).items() if value is not None}
    simulated.cluster.set_status(TRAINING, NAMESPACE, "x", status)


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("edit", EDITS)
def test_the_attempt_is_that_of_what_exists(step: str, edit: str) -> None:
    async def see() -> None:
        simulated = await just_after(step)
        for _ in range(2):
            await edit_status(simulated, EDITS[edit])
            await simulated.reconcile()
            assert await simulated.names(PYTORCHJOB) == ["x-1"]
            assert (await simulated.status()).attempt == 1
        await run_to_rest(simulated)
        assert (await simulated.status()).phase == "Complete"
        assert await simulated.names(PYTORCHJOB) == ["x-1"]
        assert await simulated.names(JOB) == ["x-prep"]

    asyncio.run(see())


def test_a_status_that_is_wiped_makes_no_second_workload() -> None:
    """Also of a later attempt, without a pod, as in a queue."""

    async def see() -> None:
        simulated = await just_after("make a pod of x-1")
        later = await simulated.cluster.get(PYTORCHJOB, NAMESPACE, "x-1")
        assert later is not None
        simulated.cluster.delete(PYTORCHJOB, NAMESPACE, "x-1")
        meta = later["metadata"]
        labels = meta["labels"] | {"qinstruct.dev/attempt": "2"}
        await simulated.cluster.create(
            later | {"metadata": meta | {"name": "x-2", "labels": labels}}
        )
        simulated.cluster.set_status(TRAINING, NAMESPACE, "x", {})
        for _ in range(3):
            await simulated.reconcile()
            assert await simulated.names(PYTORCHJOB) == ["x-2"]
        assert (await simulated.status()).attempt == 2

    asyncio.run(see())


@settings(deadline=None, max_examples=30)
@given(st.lists(st.lists(st.integers(0, 11), max_size=60), min_size=1, max_size=4))
def test_the_same_attempts_are_made_however_often_the_status_is_wiped(
    walks: list[list[int]],
) -> None:
    """Never two at once, which the simulated cluster asserts, and none more or less."""
    scenario = SCENARIOS["training is tried again"]
    wanted = expected_outcome(scenario)

    async def see() -> None:
        simulated = SimulatedCluster(scenario)
        await simulated.create_run()
        for walk in walks:
            await run_in_random_order(simulated, walk)
            if not is_finished(await simulated.status()):
                simulated.cluster.set_status(TRAINING, NAMESPACE, "x", {})
        await run_to_rest(simulated)
        end = await outcome(simulated)
        assert (end.phase, end.conditions, end.children) == (
            wanted.phase, wanted.conditions, wanted.children
        )  # fmt: skip
        assert "PyTorchJob x-4" in end.children

    asyncio.run(see())


@pytest.mark.parametrize("step", ["bind x-output", "make a pod of x-prep", "hear x-prep"])
def test_data_are_not_prepared_because_a_status_says_so(step: str) -> None:
    async def see() -> None:
        simulated = await just_after(step)
        run = await simulated.cluster.get(TRAINING, NAMESPACE, "x")
        assert run is not None
        said = [
            each | ({"status": "True", "reason": "Prepared"} if each["type"] == "Prepared" else {})
            for each in run["status"]["conditions"]
        ]
        await edit_status(simulated, {"conditions": said})
        await simulated.reconcile()
        assert await simulated.names(PYTORCHJOB) == []
        assert condition_reasons(await simulated.status())["Prepared"][0] == "False"
        await run_to_rest(simulated)
        assert (await simulated.status()).phase == "Complete"

    asyncio.run(see())


def test_an_attempt_of_an_earlier_run_is_waited_for() -> None:
    async def see() -> None:
        simulated = await just_after("settle x-prep")
        made = await simulated.cluster.get(PYTORCHJOB, NAMESPACE, "x-1")
        assert made is not None
        simulated.cluster.delete(PYTORCHJOB, NAMESPACE, "x-1")
        meta = made["metadata"]
        owners = [owner | {"uid": OTHER_UID} for owner in meta["ownerReferences"]]
        await simulated.cluster.create(
            made | {"metadata": meta | {"name": "x-3", "ownerReferences": owners}}
        )
        await simulated.reconcile()
        assert await simulated.names(PYTORCHJOB) == ["x-3"]
        simulated.cluster.delete(PYTORCHJOB, NAMESPACE, "x-3")
        await simulated.reconcile()
        assert (await simulated.status()).phase == "Recovering"
        simulated.wait()
        await simulated.reconcile()
        assert await simulated.names(PYTORCHJOB) == ["x-2"]

    asyncio.run(see())


@pytest.mark.parametrize(
    "error", [UnknownKind("no such kind", status=404), ClusterError("no answer", status=503)]
)
def test_nothing_is_made_beside_attempts_that_cannot_be_listed(error: ClusterError) -> None:
    async def see() -> None:
        simulated = await just_after("end the container of x-prep")
        (settle,) = [
            made for name, made in (await simulated.next_steps()).items() if name == "settle x-prep"
        ]
        await simulated.perform(settle)
        simulated.cluster.fail(error, "list", kind=PYTORCHJOB)
        with pytest.raises(Told):
            await simulated.reconcile()
        assert await simulated.names(PYTORCHJOB) == []
        assert condition_reasons(await simulated.status())["Prepared"] == ("True", "Prepared")
        simulated.cluster.heal()
        await run_to_rest(simulated)
        assert (await simulated.status()).phase == "Complete"

    asyncio.run(see())
