"""The operator dies at any write, before or after it took effect: nothing is lost or doubled."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.simulation.run_scenarios import FATES, live, outcome, rest, usual_outcome, wander
from support.simulation.simulated_cluster import Died, World


@pytest.mark.parametrize(
    ("name", "before"),
    [("prep is tried again", True), ("prep is tried again", False), ("training fails", False)],
)
def test_death_at_any_write_changes_nothing(name: str, before: bool) -> None:
    """Same end, same children, and the same events in the same number."""
    fate = FATES[name]

    async def see() -> None:
        unharmed = await live(fate)
        wanted, news = await outcome(unharmed), await unharmed.news()
        for number in range(len(unharmed.operator.writes)):
            world = World(fate)
            world.operator.dies_at, world.operator.dies_before = number, before
            await world.begin()
            with pytest.raises(Died):
                await rest(world)
            world.wait()
            await rest(world)  # it is started again
            assert (number, await outcome(world)) == (number, wanted)
            assert (number, await world.news()) == (number, news)

    asyncio.run(see())


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.integers(0, 11), max_size=50),
    st.sampled_from(list(FATES)),
    st.integers(0, 40),
    st.booleans(),
)
def test_what_happens_while_it_is_dead_is_seen_afterwards(
    choices: list[int], name: str, number: int, before: bool
) -> None:
    wanted = usual_outcome(FATES[name])

    async def see() -> None:
        world = World(FATES[name])
        world.operator.dies_at, world.operator.dies_before = number, before
        await world.begin()
        for go_on in (wander(world, choices), rest(world)):
            try:
                await go_on
            except Died:
                await wander(world, [choice for choice in choices if choice % 3])
        await rest(world)
        assert await outcome(world) == wanted

    asyncio.run(see())
