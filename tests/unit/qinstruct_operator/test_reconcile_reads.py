"""Passes in which something could not be read, or in which there is nothing new to write."""

import asyncio
from contextlib import suppress
from typing import Final

import pytest

from qinstruct_operator.cluster.errors import ClusterError, Forbidden
from qinstruct_operator.kinds import CONFIG_MAP, JOB, POD, Kind
from qinstruct_operator.reconcile import Told
from support.kinds import PYTORCHJOB
from support.observed import NAMESPACE, condition_reasons, message
from support.simulation.run_scenarios import run_to_rest, until

UNAVAILABLE: Final = ClusterError("unavailable", status=503)
FORBIDDEN: Final = Forbidden("exceeded quota", status=403)

READS: Final = {
    "the PyTorchJob": ("get", PYTORCHJOB, "training"),
    "the pods": ("list", POD, "pods"),
    "the log": ("read_log", POD, "log"),
}


@pytest.mark.parametrize("name", READS)
def test_a_run_trains_on_while_it_cannot_be_read(name: str) -> None:
    method, kind, part = READS[name]

    async def see() -> None:
        simulated = await until("hear x-1", times=2)  # it has said its first step
        await simulated.reconcile()
        before = await simulated.status()
        assert (before.phase, before.eta) == ("Training", "33m")
        simulated.cluster.fail(UNAVAILABLE, method, kind=kind, times=3)
        for _ in range(3):
            simulated.wait()
            written = len(simulated.operator.writes)
            with pytest.raises(Told):
                await simulated.reconcile()
        assert len(simulated.operator.writes) == written, "the last two passes had nothing to say"
        status = await simulated.status()
        assert (status.phase, status.eta, status.node) == ("Training", "33m", before.node)
        assert condition_reasons(status) == condition_reasons(before)
        assert [each.what for each in status.unread or ()] == [part]
        assert message(status, "Running").endswith("unavailable")
        await simulated.reconcile()
        assert (await simulated.status()).unread is None
        await run_to_rest(simulated)
        assert (await simulated.status()).phase == "Complete"

    asyncio.run(see())


@pytest.mark.parametrize(
    ("step", "kind", "condition"),
    [("hear x-prep", JOB, "Prepared"), ("hear x-1", PYTORCHJOB, "Running")],
)
def test_a_kind_that_vanishes_for_a_moment_takes_no_object_with_it(
    step: str, kind: Kind, condition: str
) -> None:
    """As when a CustomResourceDefinition is made again, or an aggregated API is down."""

    async def see() -> None:
        simulated = await until(step)
        await simulated.reconcile()
        before = await simulated.status()
        simulated.cluster.uninstall(kind)
        for _ in range(2):
            with pytest.raises(Told, match="not installed"):
                await simulated.reconcile()
        status = await simulated.status()
        assert condition_reasons(status) == condition_reasons(before)
        assert "not installed" in message(status, condition)
        assert status.gpu_hours == before.gpu_hours
        simulated.cluster.install(kind)
        await run_to_rest(simulated)
        assert (await simulated.status()).phase == "Complete"
        creates = [name for method, _, name in simulated.operator.writes if method == "create"]
        assert creates.count("x-prep") == creates.count("x-1") == 1

    asyncio.run(see())


def test_a_log_that_no_node_gives_does_not_stop_the_end() -> None:
    async def see() -> None:
        simulated = await until("settle x-1")
        error = ClusterError("read log of x-1-0: no answer from the node", status=502)
        simulated.cluster.fail(error, "read_log")
        await simulated.reconcile()
        assert (await simulated.status()).phase == "Complete"

    asyncio.run(see())


def test_nothing_is_created_beside_what_cannot_be_read() -> None:
    """A prep Job that cannot be read may be at work, and so may a PyTorchJob."""

    async def see() -> None:
        simulated = await until("hear x-prep")
        user_actions = await simulated.user_actions()
        await simulated.perform(user_actions["wipe the status"])
        for method, kind in (("get", JOB), ("get", PYTORCHJOB), ("get", CONFIG_MAP)):
            simulated.cluster.fail(FORBIDDEN, method, kind=kind)
        await simulated.perform(user_actions["delete ConfigMap x-config"])
        for _ in range(3):
            with suppress(Told):
                await simulated.reconcile()
            assert await simulated.names(PYTORCHJOB) == []

    asyncio.run(see())


def test_a_run_at_work_is_not_written_with_nothing_new() -> None:
    async def see() -> None:
        simulated = await until("hear x-1")
        await simulated.reconcile()
        written = len(simulated.operator.writes)
        for _ in range(6):
            simulated.wait()
            await simulated.reconcile()
        # One of six minutes with eight GPUs: GPU-hours have come together to one.
        assert len(simulated.operator.writes) - written <= 1

    asyncio.run(see())


@pytest.mark.parametrize("again", [False, True], ids=["gone", "another one is there"])
@pytest.mark.parametrize("restarted", [False, True])
def test_hours_of_a_pod_that_vanishes_count_until_it_was_seen_last(
    restarted: bool, again: bool
) -> None:
    async def see() -> None:
        simulated = await until("hear x-1")
        operator = simulated.reconciler()
        await operator.reconcile(NAMESPACE, "x")
        written, stored = len(simulated.operator.writes), (await simulated.status()).gpu_hours
        assert stored is not None
        for _ in range(5):
            simulated.wait()
            await operator.reconcile(NAMESPACE, "x")
        assert len(simulated.operator.writes) == written, "nothing is written of less than an hour"
        (pod,) = [name for name in await simulated.names(POD) if name.startswith("x-1")]
        simulated.cluster.delete(POD, NAMESPACE, pod)
        if again:
            await simulated.perform((await simulated.next_steps())["make a pod of x-1"])
        operator = simulated.reconciler() if restarted else operator
        for _ in range(2):
            simulated.wait()
            await operator.reconcile(NAMESPACE, "x")
        # Five minutes of eight GPUs; with a process that dies they are lost, as are 0.99 at most.
        assert (await simulated.status()).gpu_hours == (
            stored if restarted else pytest.approx(stored + 5 * 8 / 60, abs=0.01)
        )

    asyncio.run(see())
