"""The operator dies at any write, before or after it took effect: nothing is lost or doubled."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.simulation.recording_operator import Died
from support.simulation.run_scenarios import (
    SCENARIOS,
    expected_outcome,
    outcome,
    run_in_random_order,
    run_scenario,
    run_to_rest,
)
from support.simulation.simulated_cluster import SimulatedCluster


@pytest.mark.parametrize(
    ("name", "before"),
    [
        ("prep is tried again", True),
        ("prep is tried again", False),
        ("training is stopped", False),
    ],
)
def test_death_at_any_write_changes_nothing(name: str, before: bool) -> None:
    """Same end, same children, and the same events in the same number."""
    scenario = SCENARIOS[name]

    async def see() -> None:
        unharmed = await run_scenario(scenario)
        wanted, events = await outcome(unharmed), await unharmed.events()
        for number in range(len(unharmed.operator.writes)):
            simulated = SimulatedCluster(scenario)
            simulated.operator.dies_at, simulated.operator.dies_before = number, before
            await simulated.create_run()
            with pytest.raises(Died):
                await run_to_rest(simulated)
            simulated.wait()
            await run_to_rest(simulated)  # it is started again
            assert (number, await outcome(simulated)) == (number, wanted)
            assert (number, await simulated.events()) == (number, events)

    asyncio.run(see())


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.integers(0, 11), max_size=50),
    st.sampled_from(list(SCENARIOS)),
    st.integers(0, 40),
    st.booleans(),
)
def test_what_happens_while_it_is_dead_is_seen_afterwards(
    choices: list[int], name: str, number: int, before: bool
) -> None:
    wanted = expected_outcome(SCENARIOS[name])

    async def see() -> None:
        simulated = SimulatedCluster(SCENARIOS[name])
        simulated.operator.dies_at, simulated.operator.dies_before = number, before
        await simulated.create_run()
        for go_on in (run_in_random_order(simulated, choices), run_to_rest(simulated)):
            try:
                await go_on
            except Died:
                await run_in_random_order(simulated, [choice for choice in choices if choice % 3])
        await run_to_rest(simulated)
        assert await outcome(simulated) == wanted

    asyncio.run(see())
