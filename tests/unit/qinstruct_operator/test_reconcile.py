"""Properties of reconciliation: it comes to rest, in any order of events.

The cluster is the in-memory one, with everybody else in it (`support.simulation`).
"""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qinstruct_operator.core.condition_list import is_finished
from support.kinds import PYTORCHJOB
from support.simulation.run_scenarios import (
    SCENARIOS,
    expected_outcome,
    outcome,
    reconcile_to_fixed_point,
    run_in_random_order,
    run_scenario,
    run_to_rest,
)
from support.simulation.simulated_cluster import Scenario, SimulatedCluster

ENDS = {
    "it goes well": "Complete",
    "prep is tried again": "Complete",
    "prep's data are bad": "Failed",
    "prep fails for ever": "Failed",
    "training fails": "Failed",
    "training is stopped": "Failed",
}


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_run_comes_to_its_end(name: str) -> None:
    async def see() -> None:
        simulated = await run_scenario(SCENARIOS[name])
        status = await simulated.status()
        assert is_finished(status)
        assert status.phase == ENDS[name]
        assert ("x-1" in await simulated.names(PYTORCHJOB)) == simulated.was_prepared
        assert (status.progress == "100%") == (status.phase == "Complete")

    asyncio.run(see())


def test_nothing_is_written_twice_at_any_moment() -> None:
    async def see() -> None:
        simulated = SimulatedCluster(Scenario(prep=(69, 0)))
        await simulated.create_run()
        while True:
            await reconcile_to_fixed_point(simulated)
            next_steps = await simulated.next_steps()
            if not next_steps:
                return
            await simulated.perform(next(iter(next_steps.values())))

    asyncio.run(see())


CHOICES = st.lists(st.integers(0, 11), max_size=50)


@settings(deadline=None, max_examples=40)
@given(CHOICES, st.sampled_from(list(SCENARIOS)))
def test_order_loss_and_repetition_of_events_do_not_matter(choices: list[int], name: str) -> None:
    wanted = expected_outcome(SCENARIOS[name])

    async def see() -> None:
        simulated = SimulatedCluster(SCENARIOS[name])
        await simulated.create_run()
        await run_in_random_order(simulated, choices)
        await run_to_rest(simulated)
        assert await outcome(simulated) == wanted

    asyncio.run(see())


@settings(deadline=None, max_examples=40)
@given(st.lists(CHOICES, min_size=2, max_size=4), st.sampled_from(list(SCENARIOS)), st.data())
def test_what_a_user_deletes_is_made_again(
    walks: list[list[int]], name: str, data: st.DataObject
) -> None:
    wanted = expected_outcome(SCENARIOS[name])

    async def see() -> None:
        simulated = SimulatedCluster(SCENARIOS[name])
        await simulated.create_run()
        for walk in walks:
            await run_in_random_order(simulated, walk)
            user_actions = await simulated.user_actions()
            await simulated.perform(user_actions[data.draw(st.sampled_from(sorted(user_actions)))])
        await run_to_rest(simulated)
        end = await outcome(simulated)
        assert (end.phase, end.conditions) == (wanted.phase, wanted.conditions)

    asyncio.run(see())
