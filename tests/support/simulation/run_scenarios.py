"""Lives of a run in `support.simulation.simulated_cluster`, and what they come to."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from qinstruct_operator.kinds import CLAIM, CONFIG_MAP, JOB, PYTORCHJOB
from support.simulation.simulated_cluster import Fate, World

FATES = {
    "it goes well": Fate(),
    "prep is tried again": Fate(prep=(143, 0)),
    "prep's data are bad": Fate(prep=(65,)),
    "prep fails for ever": Fate(prep=(69,)),
    "training fails": Fate(training=70),
    "training is stopped": Fate(training=75),
}
_MAX_MOVES = 300


@dataclass(frozen=True)
class Outcome:
    """What a run has come to, without times and what depends on when somebody looked."""

    phase: str | None
    conditions: tuple[tuple[str, str, str, str], ...]
    rest: dict[str, Any]
    children: tuple[str, ...]


async def outcome(world: World) -> Outcome:
    """What the run has come to so far."""
    status = await world.status()
    children = [
        f"{kind.kind} {name}"
        for kind in (CLAIM, CONFIG_MAP, JOB, PYTORCHJOB)
        for name in await world.names(kind)
    ]
    return Outcome(
        phase=status.phase,
        conditions=tuple((c.type, c.status, c.reason, c.message) for c in status.conditions),
        rest=status.model_dump(
            include={"observed_generation", "progress", "eta", "node", "training", "model"}
        ),
        children=tuple(children),
    )


async def wander(world: World, choices: Sequence[int]) -> None:
    """Let things happen in the chosen order; the operator looks now and then, perhaps twice."""
    for choice in choices:
        moves = list((await world.moves()).values())
        if choice % 3 == 0 or not moves:
            await world.reconcile()
        else:
            await world.make(moves[choice % len(moves)])


async def rest(world: World) -> None:
    """Let everything happen that happens by itself, the operator looking after each move."""
    for _ in range(_MAX_MOVES):
        await world.reconcile()
        moves = await world.moves()
        if not moves:
            return await settle(world)
        await world.make(next(iter(moves.values())))
    raise AssertionError(f"no rest after {_MAX_MOVES} moves: {sorted(await world.moves())}")


async def settle(world: World) -> None:
    """Reconcile until nothing is written any more, which with a clock that stands is soon."""
    written = world.operator.writes
    for _ in range(4):
        before = len(written)
        await world.reconcile()
        if len(written) == before:
            break
    await world.reconcile()
    assert len(written) == before, f"no fixed point: {written[before:]}"
    assert len(await world.at_work()) <= 1
    assert len(await world.names(JOB)) <= 1
    assert len(await world.names(PYTORCHJOB)) <= 1


async def live(fate: Fate) -> World:
    """A run as it should go."""
    world = World(fate)
    await world.begin()
    await rest(world)
    return world


@cache
def usual_outcome(fate: Fate) -> Outcome:
    """What a run comes to where the operator looks after each move."""

    async def see() -> Outcome:
        return await outcome(await live(fate))

    with asyncio.Runner() as runner:
        return runner.run(see())
