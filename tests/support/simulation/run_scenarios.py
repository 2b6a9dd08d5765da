"""Scenarios of a run in a simulated cluster, and their outcomes."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from qinstruct_operator.kinds import CLAIM, CONFIG_MAP, JOB
from support.kinds import PYTORCHJOB
from support.simulation.simulated_cluster import Scenario, SimulatedCluster

SCENARIOS = {
    "it goes well": Scenario(),
    "prep is tried again": Scenario(prep=(143, 0)),
    "prep's data are bad": Scenario(prep=(65,)),
    "prep fails for ever": Scenario(prep=(69,)),
    "training fails": Scenario(training=(70,)),
    "training is stopped": Scenario(training=(75, 0)),
    "training is tried again": Scenario(training=(137, 143, 71, 0)),
    "training fails too often": Scenario(training=(143, 71), recovery=(("maxRetries", 1),)),
}
_MAX_STEPS = 300


@dataclass(frozen=True)
class Outcome:
    """The end state of a run, without times and without what depends on when it was observed."""

    phase: str | None
    conditions: tuple[tuple[str, str, str, str], ...]
    rest: dict[str, Any]
    children: tuple[str, ...]


async def outcome(simulated: SimulatedCluster) -> Outcome:
    """The state of the run so far."""
    status = await simulated.status()
    children = [
        f"{kind.kind} {name}"
        for kind in (CLAIM, CONFIG_MAP, JOB, PYTORCHJOB)
        for name in await simulated.names(kind)
    ]
    return Outcome(
        phase=status.phase,
        conditions=tuple((c.type, c.status, c.reason, c.message) for c in status.conditions),
        rest=status.model_dump(
            include={"observed_generation", "progress", "eta", "node", "training", "model"}
        ),
        children=tuple(children),
    )


async def run_in_random_order(simulated: SimulatedCluster, choices: Sequence[int]) -> None:
    """Take steps in the chosen order; the operator reconciles in between, sometimes twice."""
    for choice in choices:
        next_steps = list((await simulated.next_steps()).values())
        if choice % 3 == 0 or not next_steps:
            await simulated.reconcile()
        else:
            await simulated.perform(next_steps[choice % len(next_steps)])


async def run_to_rest(simulated: SimulatedCluster) -> None:
    """Take every step that happens by itself; the operator reconciles after each."""
    for _ in range(_MAX_STEPS):
        await simulated.reconcile()
        next_steps = await simulated.next_steps()
        if not next_steps:
            return await reconcile_to_fixed_point(simulated)
        await simulated.perform(next(iter(next_steps.values())))
    raise AssertionError(f"no rest after {_MAX_STEPS} steps: {sorted(next_steps)}")


async def reconcile_to_fixed_point(simulated: SimulatedCluster) -> None:
    """Reconcile until nothing is written any more; the clock stands still meanwhile."""
    written = simulated.operator.writes
    for _ in range(4):
        before = len(written)
        await simulated.reconcile()
        if len(written) == before:
            break
    await simulated.reconcile()
    assert len(written) == before, f"no fixed point: {written[before:]}"
    assert len(await simulated.active_workloads()) <= 1
    assert len(await simulated.names(JOB)) <= 1


async def until(
    step: str, times: int = 1, scenario: Scenario = SCENARIOS["it goes well"]
) -> SimulatedCluster:
    """A run right after this has happened for so many times, before the next pass."""
    simulated = SimulatedCluster(scenario)
    await simulated.create_run()
    while times:
        await simulated.reconcile()
        name, made = next(iter((await simulated.next_steps()).items()))
        await simulated.perform(made)
        times -= name == step
    return simulated


async def run_scenario(scenario: Scenario) -> SimulatedCluster:
    """A run at its end, where the operator reconciled after each step."""
    simulated = SimulatedCluster(scenario)
    await simulated.create_run()
    await run_to_rest(simulated)
    return simulated


@cache
def expected_outcome(scenario: Scenario) -> Outcome:
    """The outcome where the operator reconciles after each step."""

    async def see() -> Outcome:
        return await outcome(await run_scenario(scenario))

    with asyncio.Runner() as runner:
        return runner.run(see())
