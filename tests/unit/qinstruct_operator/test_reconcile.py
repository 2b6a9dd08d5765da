"""Properties of reconciliation: it comes to rest, in any order of events.

The cluster is the in-memory one, with everybody else in it (`support.simulation`).
"""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qinstruct_operator.core.judge.conditions import is_finished
from qinstruct_operator.kinds import PYTORCHJOB
from support.simulation.run_scenarios import (
    FATES,
    live,
    outcome,
    rest,
    settle,
    usual_outcome,
    wander,
)
from support.simulation.simulated_cluster import Fate, World

ENDS = {
    "it goes well": "Complete",
    "prep is tried again": "Complete",
    "prep's data are bad": "Failed",
    "prep fails for ever": "Failed",
    "training fails": "Failed",
    "training is stopped": "Failed",
}


@pytest.mark.parametrize("name", FATES)
def test_a_run_comes_to_its_end(name: str) -> None:
    async def see() -> None:
        world = await live(FATES[name])
        status = await world.status()
        assert is_finished(status)
        assert status.phase == ENDS[name]
        assert ("x-1" in await world.names(PYTORCHJOB)) == world.was_prepared
        assert (status.progress == "100%") == (status.phase == "Complete")

    asyncio.run(see())


def test_nothing_is_written_twice_at_any_moment() -> None:
    async def see() -> None:
        world = World(Fate(prep=(69, 0)))
        await world.begin()
        while True:
            await settle(world)
            moves = await world.moves()
            if not moves:
                return
            await world.make(next(iter(moves.values())))

    asyncio.run(see())


CHOICES = st.lists(st.integers(0, 11), max_size=50)


@settings(deadline=None, max_examples=40)
@given(CHOICES, st.sampled_from(list(FATES)))
def test_order_loss_and_repetition_of_events_do_not_matter(choices: list[int], name: str) -> None:
    wanted = usual_outcome(FATES[name])

    async def see() -> None:
        world = World(FATES[name])
        await world.begin()
        await wander(world, choices)
        await rest(world)
        assert await outcome(world) == wanted

    asyncio.run(see())


@settings(deadline=None, max_examples=40)
@given(st.lists(CHOICES, min_size=2, max_size=4), st.sampled_from(list(FATES)), st.data())
def test_what_a_user_deletes_is_made_again(
    walks: list[list[int]], name: str, data: st.DataObject
) -> None:
    wanted = usual_outcome(FATES[name])

    async def see() -> None:
        world = World(FATES[name])
        await world.begin()
        for walk in walks:
            await wander(world, walk)
            meddling = await world.meddling()
            await world.make(meddling[data.draw(st.sampled_from(sorted(meddling)))])
        await rest(world)
        end = await outcome(world)
        assert (end.phase, end.conditions) == (wanted.phase, wanted.conditions)

    asyncio.run(see())
