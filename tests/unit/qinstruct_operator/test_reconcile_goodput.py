"""Whatever the operator sees and when: the GPUs' time is all there, each second once."""

import asyncio
from datetime import datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qinstruct_operator.api.status import Status
from qinstruct_operator.core.judge.goodput import HELD
from qinstruct_operator.core.times import parse_time
from qinstruct_operator.kinds import POD
from support.observed import NAMESPACE
from support.simulation.run_scenarios import SCENARIOS, run_to_rest
from support.simulation.simulated_cluster import Scenario, SimulatedCluster

GPUS = 8
_ROUNDED = 36  # GPU-hours have two digits
RETRIED = SCENARIOS["training is tried again"]


def held(status: Status) -> int:
    return sum(getattr(status.gpu_seconds, each) for each in HELD) if status.gpu_seconds else 0


async def spans(simulated: SimulatedCluster) -> list[tuple[datetime, datetime]]:
    """From when to when each training pod has held its GPUs, by the cluster itself."""
    found = []
    for pod in await simulated.cluster.list(POD, NAMESPACE):
        if pod["metadata"]["name"].startswith("x-prep") or "startTime" not in pod["status"]:
            continue
        state = pod["status"].get("containerStatuses", [{"state": {}}])[-1]["state"]
        end = parse_time(state.get("terminated", {}).get("finishedAt", "")) or simulated.now
        begin = parse_time(pod["status"]["startTime"])
        assert begin
        found.append((begin, end))
    return sorted(found)


async def check(simulated: SimulatedCluster, created: datetime) -> None:
    status = await simulated.status()
    assert held(status) == round((status.gpu_hours or 0) * 3600)
    if counted := status.gpu_seconds:
        wall = GPUS * (simulated.now - created).total_seconds()
        assert held(status) + counted.queued <= wall + _ROUNDED


@settings(deadline=None, max_examples=40)
@given(
    st.sampled_from([Scenario(), RETRIED, SCENARIOS["training is stopped"]]),
    st.lists(st.integers(0, 5), max_size=80),
)
def test_what_all_pods_have_held_is_in_the_buckets(scenario: Scenario, choices: list[int]) -> None:
    """Steps and passes in any order, passes that see nothing new, and hours without any."""

    async def see() -> None:
        simulated = SimulatedCluster(scenario)
        await simulated.create_run()
        created = simulated.now
        for choice in choices:
            steps = [*(await simulated.next_steps()).values()]
            if choice < 2 or not steps:
                await simulated.reconcile()
                await check(simulated, created)
            elif choice == 2:
                simulated.wait(hours=1)
            else:
                await simulated.perform(steps[choice % len(steps)])
        await run_to_rest(simulated)
        await check(simulated, created)
        seconds = sum((end - begin).total_seconds() for begin, end in await spans(simulated))
        attempts = len(scenario.training)
        assert held(await simulated.status()) == pytest.approx(
            GPUS * seconds, abs=attempts * _ROUNDED
        )

    asyncio.run(see())


def test_all_time_of_a_run_is_counted_from_its_data_to_its_end() -> None:
    """Where the operator looks after each step, queued and held time are the whole wall time."""

    async def see() -> None:
        simulated = SimulatedCluster(RETRIED)
        await simulated.create_run()
        await run_to_rest(simulated)
        status = await simulated.status()
        assert status.phase == "Complete"
        assert status.gpu_seconds
        (prepared,) = [each for each in status.conditions if each.type == "Prepared"]
        begin, ends = parse_time(prepared.last_transition_time), await spans(simulated)
        assert begin
        wall = GPUS * (ends[-1][1] - begin).total_seconds()
        # Not the two minutes from the end of a pod until its PyTorchJob is seen to have failed.
        verdicts = GPUS * 120 * (len(ends) - 1)
        counted = held(status) + status.gpu_seconds.queued
        assert counted == pytest.approx(wall - verdicts, abs=len(ends) * _ROUNDED)
        assert status.gpu_seconds.lost > 0
        assert status.goodput

    asyncio.run(see())


def test_a_status_that_is_wiped_has_what_the_pod_that_is_there_has_held() -> None:
    async def see() -> None:
        simulated = SimulatedCluster(Scenario())
        await simulated.create_run()
        created = simulated.now
        await simulated.reconcile()
        while steps := await simulated.next_steps():
            await simulated.perform(next(iter(steps.values())))
            await simulated.perform((await simulated.user_actions())["wipe the status"])
            await simulated.reconcile()
            await check(simulated, created)
        ((begin, end),) = await spans(simulated)
        seconds = GPUS * (end - begin).total_seconds()
        assert held(await simulated.status()) == pytest.approx(seconds, abs=_ROUNDED)

    asyncio.run(see())
