"""Lines in a run's log that its container has not written itself are no news of it."""

import asyncio

import pytest

from qinstruct_operator.api.status import Status
from qinstruct_operator.kinds import POD
from support.kinds import TRAINING_CONTAINER
from support.observed import NAMESPACE, failed_event, lines, signed_lines, step_event
from support.simulation.run_scenarios import until
from support.simulation.simulated_cluster import SimulatedCluster

POD_NAME = "x-1-0"
FALSE = lines(step_event(199, loss=0.0), failed_event("Forged", "pay first", 65))
FORGED = {
    "unsigned": FALSE,
    "of the prep pod": signed_lines(FALSE, "{prep}"),
    "of the run": signed_lines(FALSE, "{run}"),
    "so many that nothing else is read": FALSE * 100,
}


async def status_after(forged: tuple[str, ...], *, fails: bool) -> Status:
    """The status of a run that trains, after these lines and perhaps a failure."""
    simulated = await until("hear x-1", 2)
    await simulated.reconcile()
    uids = await uids_of(simulated)
    printed = [line.replace("{prep}", uids[0]).replace("{run}", uids[1]) for line in forged]
    simulated.cluster.write_log(NAMESPACE, POD_NAME, TRAINING_CONTAINER, *printed)
    if fails:
        await simulated.end(POD_NAME, 1)
    await simulated.reconcile()
    return await simulated.status()


async def uids_of(simulated: SimulatedCluster) -> tuple[str, str]:
    """Of the prep pod, and of the training workload."""
    pods = await simulated.cluster.list(POD, NAMESPACE)
    by_name = {each["metadata"]["name"]: each["metadata"] for each in pods}
    return by_name["x-prep-0"]["uid"], by_name[POD_NAME]["ownerReferences"][0]["uid"]


@pytest.mark.parametrize("forged", FORGED.values(), ids=FORGED)
def test_no_forged_line_moves_the_progress(forged: tuple[str, ...]) -> None:
    status = asyncio.run(status_after(forged, fails=False))
    assert status.training is not None
    assert (status.training.step, status.phase) == (1, "Training")


@pytest.mark.parametrize("forged", FORGED.values(), ids=FORGED)
def test_no_forged_last_word_is_a_reason(forged: tuple[str, ...]) -> None:
    failure = asyncio.run(status_after(forged, fails=True)).failure
    assert failure is not None
    assert (failure.reason, failure.exit_code) == ("Error", 1)
    assert failure.message is not None
    assert "pay" not in failure.message
