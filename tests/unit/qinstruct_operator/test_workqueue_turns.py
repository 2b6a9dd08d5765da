"""The work queue between tenants: they take turns, whatever one of them floods it with."""

import asyncio
import logging

import pytest

from qinstruct_operator.cluster.errors import ClusterError, Conflict
from qinstruct_operator.workqueue import WorkQueue
from support.virtual_time import VirtualLoop


@pytest.mark.parametrize("by_clock", [False, True])
@pytest.mark.parametrize("workers", [1, 3])
def test_one_tenants_flood_does_not_hold_up_another(by_clock: bool, workers: int) -> None:
    """Every pass of 500 runs makes news for its run at once; a quiet run is looked at in turn."""
    done: list[str] = []

    async def work(key: str) -> float | None:
        done.append(key)
        await asyncio.sleep(1)
        if key.startswith("loud"):
            queue.add(key)
        return None

    async def main() -> None:
        working = asyncio.create_task(queue.run())
        for number in range(500):
            queue.add(f"loud/{number}")
        await asyncio.sleep(10.5)
        if by_clock:
            queue.add_after("quiet/1", 0)
            queue.add_after("quiet/2", 0)
        else:
            queue.add("quiet/1")
            queue.add("quiet/2")
        before = len(done)
        await asyncio.sleep(5)
        assert {"quiet/1", "quiet/2"} <= set(done[before : before + 2 * workers + 2])
        working.cancel()
        await asyncio.wait([working])

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        queue: WorkQueue[str] = WorkQueue(
            work, workers=workers, tenant=lambda key: key.split("/")[0]
        )
        runner.run(main())


@pytest.mark.parametrize(
    "error", [ClusterError("no answer"), Conflict("changed"), ValueError("a bug")], ids=repr
)
@pytest.mark.parametrize("workers", [1, 3])
def test_runs_that_always_fail_do_not_hold_up_another_tenants(
    error: Exception, workers: int, caplog: pytest.LogCaptureFixture
) -> None:
    """They are tried again, a conflict at once, and the log has one line for each of them."""
    done: list[str] = []

    async def work(key: str) -> float | None:
        done.append(key)
        await asyncio.sleep(0.01)
        if key.startswith("loud"):
            raise error
        return None

    async def main() -> None:
        working = asyncio.create_task(queue.run())
        for number in range(300):
            queue.add(f"loud/{number}")
        await asyncio.sleep(5.005)
        queue.add("quiet/1")
        queue.add_after("quiet/2", 0)
        before = len(done)
        await asyncio.sleep(0.1)
        assert {"quiet/1", "quiet/2"} <= set(done[before : before + 2 * workers + 4])
        working.cancel()
        await asyncio.wait([working])

    caplog.set_level(logging.CRITICAL if isinstance(error, ValueError) else logging.WARNING)
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        queue: WorkQueue[str] = WorkQueue(
            work, workers=workers, tenant=lambda key: key.split("/")[0]
        )
        runner.run(main())
    assert len(caplog.records) <= 300


def test_a_tenant_of_very_many_namespaces_is_as_many_tenants() -> None:
    """Known, and in docs/security.md: turns are by namespace, which an administrator makes."""
    done: list[str] = []

    async def work(key: str) -> None:
        done.append(key)

    async def main() -> None:
        for number in range(50):
            queue.add(f"n{number}/loud")
        queue.add("quiet/1")
        queue.add("n0/again")
        working = asyncio.create_task(queue.run())
        await asyncio.sleep(1)
        working.cancel()
        await asyncio.wait([working])

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        queue: WorkQueue[str] = WorkQueue(work, workers=1, tenant=lambda key: key.split("/")[0])
        runner.run(main())
    assert done[50:] == ["quiet/1", "n0/again"]


def test_tenants_take_turns_and_each_tenants_order_is_kept() -> None:
    done: list[str] = []

    async def work(key: str) -> None:
        done.append(key)

    async def main() -> None:
        for key in ("a/1", "a/2", "a/3", "b/1", "c/1", "b/2"):
            queue.add(key)
        assert len(queue) == 6
        working = asyncio.create_task(queue.run())
        await asyncio.sleep(1)
        assert len(queue) == 0
        working.cancel()
        await asyncio.wait([working])

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        queue: WorkQueue[str] = WorkQueue(work, workers=1, tenant=lambda key: key[0])
        runner.run(main())
    assert done == ["a/1", "b/1", "c/1", "a/2", "b/2", "a/3"]
