"""A run that is suspended and let go on: at any moment, in any order, with operators that die."""

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qinstruct_operator.cluster.errors import ClusterError, Conflict, Forbidden, NotFound
from qinstruct_operator.constants import ANNOTATION_SUSPENDED, LABEL_QUEUE
from qinstruct_operator.core.condition_list import is_finished
from qinstruct_operator.kinds import JOB, POD, TRAINING
from qinstruct_operator.reconcile import Reconciler, Told
from qinstruct_operator.settings import Settings
from support.kinds import PYTORCHJOB
from support.observed import NAMESPACE, condition_reasons, message
from support.simulation.recording_operator import Died
from support.simulation.run_scenarios import (
    SCENARIOS,
    Outcome,
    expected_outcome,
    outcome,
    run_scenario,
    run_to_rest,
    until,
)
from support.simulation.simulated_cluster import Scenario, SimulatedCluster

STARTED = "start the container of x-1"
WELL = SCENARIOS["it goes well"]


async def under_way(step: str = STARTED, scenario: Scenario = WELL) -> SimulatedCluster:
    """A run whose operator has seen what this step did."""
    simulated = await until(step, scenario=scenario)
    await simulated.reconcile()
    return simulated


async def training_of(simulated: SimulatedCluster) -> dict[str, Any]:
    found = await simulated.cluster.get(PYTORCHJOB, NAMESPACE, "x-1")
    assert found is not None
    return found


async def ends_like(wanted: Outcome, simulated: SimulatedCluster) -> None:
    await run_to_rest(simulated)
    found = await outcome(simulated)
    assert (found.phase, found.conditions) == (wanted.phase, wanted.conditions)
    assert found.children == wanted.children


def test_a_run_that_trains_is_suspended_and_goes_on() -> None:
    wanted = expected_outcome(WELL)

    async def see() -> None:
        simulated = await under_way()
        await simulated.suspend(True)
        await simulated.reconcile()
        held = await training_of(simulated)
        assert held["spec"]["runPolicy"]["suspend"] is True
        assert held["metadata"]["annotations"][ANNOTATION_SUSPENDED] == "true"
        status = await simulated.status()
        assert condition_reasons(status)["Running"] == ("False", "Stopping")
        await run_to_rest(simulated)
        assert "x-1-0" not in await simulated.names(POD)
        status = await simulated.status()
        assert (status.phase, status.attempt) == ("Suspended", 1)
        assert (status.failure, status.recovery) == (None, None)
        assert message(status, "Scheduled") == (
            "x-1 is suspended by spec.suspend; set that to false, and it goes on from what it has "
            "saved"
        )
        assert ("Normal", "Suspended") in await simulated.events()
        await simulated.suspend(False)
        await simulated.reconcile()
        again = await training_of(simulated)
        assert again["spec"]["runPolicy"]["suspend"] is False
        assert ANNOTATION_SUSPENDED not in again["metadata"]["annotations"]
        assert ("Normal", "Resumed") in await simulated.events()
        await ends_like(wanted, simulated)

    asyncio.run(see())


def test_it_goes_on_only_when_its_pod_is_gone() -> None:
    """Training Operator 1.9 fails a PyTorchJob that goes on while a pod of it is still ending."""

    wanted = expected_outcome(WELL)

    async def see() -> None:
        simulated = await under_way()
        await simulated.suspend(True)
        await simulated.reconcile()
        await simulated.suspend(False)
        said = []
        while await simulated.names(POD) != ["x-prep-0"]:
            await simulated.reconcile()
            assert (await training_of(simulated))["spec"]["runPolicy"]["suspend"] is True
            status = await simulated.status()
            said.append((status.phase, message(status, "Scheduled")))
            (step,) = (await simulated.next_steps()).values()
            await simulated.perform(step)
        assert [phase for phase, _ in said] == ["Stopping", "Stopping", "Suspended"]
        assert said[-1][1] == "x-1 was suspended, and goes on when x-1-0 is gone"
        await simulated.reconcile()
        assert (await training_of(simulated))["spec"]["runPolicy"]["suspend"] is False
        await ends_like(wanted, simulated)

    asyncio.run(see())


def test_what_is_suspended_from_the_start_is_not_made() -> None:
    wanted = expected_outcome(WELL)

    async def see() -> None:
        simulated = SimulatedCluster(WELL, suspend=True)
        await simulated.create_run()
        await run_to_rest(simulated)
        assert (await outcome(simulated)).children == ()
        status = await simulated.status()
        assert status.phase == "Suspended"
        assert message(status, "Prepared") == (
            "held while spec.suspend is true; then the prep Job is being created"
        )
        await simulated.suspend(False)
        await ends_like(wanted, simulated)
        assert ("Normal", "Resumed") in await simulated.events()

    asyncio.run(see())


@pytest.mark.parametrize(
    ("step", "made"),
    [
        ("make a pod of x-prep", ["x-prep"]),
        ("start the container of x-prep", ["x-prep"]),
        ("settle x-prep", []),  # prepared: no PyTorchJob is made
    ],
)
def test_preparation_is_suspended_as_well(step: str, made: list[str]) -> None:
    wanted = expected_outcome(WELL)

    async def see() -> None:
        simulated = await until(step)
        await simulated.suspend(True)
        await run_to_rest(simulated)
        assert await simulated.names(PYTORCHJOB) == []
        assert await simulated.active_workloads() == made
        assert (await simulated.status()).phase == "Suspended"
        await simulated.suspend(False)
        await ends_like(wanted, simulated)

    asyncio.run(see())


def test_the_next_attempt_waits_beyond_its_backoff() -> None:
    scenario = SCENARIOS["training is stopped"]
    wanted = expected_outcome(scenario)

    async def see() -> None:
        simulated = await under_way("settle x-1", scenario)
        assert (await simulated.status()).phase == "Recovering"
        await simulated.suspend(True)
        for _ in range(3):
            await simulated.reconcile()
            simulated.wait(hours=1)
        status = await simulated.status()
        assert status.phase == "Suspended"
        assert message(status, "Scheduled").startswith(
            "held while spec.suspend is true; then attempt 2 begins at "
        )
        assert await simulated.names(PYTORCHJOB) == ["x-1"]
        await simulated.suspend(False)
        await ends_like(wanted, simulated)

    asyncio.run(see())


def test_a_run_that_has_ended_stays_as_it_is() -> None:
    async def see() -> None:
        simulated = await run_scenario(WELL)
        before = await outcome(simulated)
        await simulated.suspend(True)
        # Not by the operator that asserts that nothing is written after the end: one number is.
        reconciler = Reconciler(simulated.cluster, Settings(), lambda: simulated.now)
        await reconciler.reconcile(NAMESPACE, "x")
        after = await outcome(simulated)
        assert (after.phase, after.conditions) == (before.phase, before.conditions)
        held = await training_of(simulated)
        assert "suspend" not in held["spec"]["runPolicy"]

    asyncio.run(see())


def test_what_somebody_else_has_suspended_stays_so() -> None:
    async def see() -> None:
        simulated = await under_way()
        simulated.cluster.edit(
            PYTORCHJOB, NAMESPACE, "x-1", lambda raw: raw["spec"]["runPolicy"].update(suspend=True)
        )
        await run_to_rest(simulated)
        for suspend in (True, False):
            await simulated.suspend(suspend)
            await run_to_rest(simulated)
            assert (await training_of(simulated))["spec"]["runPolicy"]["suspend"] is True
        assert "kubectl patch pytorchjob x-1" in message(await simulated.status(), "Scheduled")

    asyncio.run(see())


def test_what_kueue_has_put_into_a_queue_is_kueues() -> None:
    """A LocalQueue named `default` does so to whatever names no queue."""

    async def see() -> None:
        simulated = await under_way()
        simulated.cluster.edit(
            PYTORCHJOB,
            NAMESPACE,
            "x-1",
            lambda raw: raw["metadata"]["labels"].update({LABEL_QUEUE: "default"}),
        )
        await simulated.suspend(True)
        await simulated.reconcile()
        assert "suspend" not in (await training_of(simulated))["spec"]["runPolicy"]
        status = await simulated.status()
        assert condition_reasons(status)["Accepted"] == ("True", "EditIgnored")
        assert message(status, "Accepted") == (
            "spec.suspend true: has no effect on x-1, because Kueue starts and stops what is in a "
            "queue (default); set spec.active of its Kueue Workload to false instead"
        )

    asyncio.run(see())


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (Conflict("has been modified", status=409), ""),
        (NotFound("not found", status=404), ""),
        (Forbidden("may not patch", status=403), "; it cannot be suspended yet: may not patch"),
    ],
)
@pytest.mark.parametrize("step", [STARTED, "start the container of x-prep"])
def test_a_refusal_is_told_and_tried_again(step: str, error: ClusterError, said: str) -> None:
    wanted = expected_outcome(WELL)

    async def see() -> None:
        simulated = await under_way(step)
        type_ = "Running" if step == STARTED else "Prepared"
        before = message(await simulated.status(), type_)
        await simulated.suspend(True)
        simulated.cluster.fail(error, "patch")
        with pytest.raises(Told):
            await simulated.reconcile()
        assert message(await simulated.status(), type_) == before + said
        await run_to_rest(simulated)
        assert (await simulated.status()).phase == "Suspended"
        simulated.cluster.fail(error, "patch")
        await simulated.suspend(False)
        with pytest.raises(Told):
            await simulated.reconcile()
        assert (await simulated.status()).phase == ("Refused" if said else "Suspended")
        await ends_like(wanted, simulated)

    asyncio.run(see())


async def toggle_in_random_order(simulated: SimulatedCluster, choices: list[int]) -> None:
    """The user, the operator and the cluster act in the chosen order."""
    for choice in choices:
        if is_finished(await simulated.status()):
            return
        steps = list((await simulated.next_steps()).values())
        if choice < 2:
            await simulated.suspend(bool(choice))
        elif choice == 2:
            simulated.cluster.set_status(TRAINING, NAMESPACE, "x", {})
        elif choice % 2 or not steps:
            await simulated.reconcile()
        else:
            await simulated.perform(steps[choice % len(steps)])
        assert len(await simulated.active_workloads()) <= 1


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.integers(0, 11), max_size=60),
    st.sampled_from(["it goes well", "training is tried again", "prep's data are bad"]),
    st.integers(0, 60),
    st.booleans(),
)
def test_however_it_is_toggled_it_comes_to_rest_and_to_its_end(
    choices: list[int], name: str, number: int, before: bool
) -> None:
    """No attempt is counted for it, and the operator may die at any write."""

    wanted = expected_outcome(SCENARIOS[name])

    async def see() -> None:
        simulated = SimulatedCluster(SCENARIOS[name])
        simulated.operator.dies_at, simulated.operator.dies_before = number, before
        await simulated.create_run()
        for go_on in (toggle_in_random_order(simulated, choices), run_to_rest(simulated)):
            try:
                await go_on
            except Died:
                await run_to_rest(simulated)
        simulated.operator.dies_at = None
        status = await simulated.status()
        if not is_finished(status):
            assert status.phase == "Suspended"
            await simulated.suspend(False)
        await ends_like(wanted, simulated)
        assert await simulated.names(JOB) == ["x-prep"]

    asyncio.run(see())
