"""The work queue: each key once, never two at a time, never lost, more slowly after errors."""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qinstruct_operator.cluster.errors import ClusterError, Conflict
from qinstruct_operator.workqueue import WorkQueue
from support.virtual_time import VirtualLoop

Work = Callable[[str], Awaitable[float | None]]


def run(work: Work, drive: Callable[[WorkQueue[str]], Awaitable[None]], workers: int = 3) -> None:
    """Drive a queue that works."""

    async def main() -> None:
        queue = WorkQueue(work, workers=workers)
        working = asyncio.create_task(queue.run())
        await drive(queue)
        working.cancel()
        await asyncio.wait([working])
        assert working.cancelled()

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(main())


def now() -> float:
    return round(asyncio.get_running_loop().time(), 6)


class Recorder:
    """Work that takes a second, notes when it is called, and does what the test says."""

    def __init__(self, *ends: float | Exception | None) -> None:
        self.calls: list[tuple[float, str]] = []
        self._ends = list(ends)

    async def __call__(self, key: str) -> float | None:
        self.calls.append((now(), key))
        await asyncio.sleep(1)
        end = self._ends.pop(0) if self._ends else None
        if isinstance(end, Exception):
            raise end
        return end


def test_a_key_that_waits_is_there_once() -> None:
    work = Recorder()

    async def drive(queue: WorkQueue[str]) -> None:
        for key in "aabab":
            queue.add(key)
        assert len(queue) == 2
        await asyncio.sleep(100)
        assert len(queue) == 0

    run(work, drive)
    assert work.calls == [(0, "a"), (0, "b")]


def test_a_key_added_during_its_work_is_worked_on_once_more_afterwards() -> None:
    work = Recorder(50.0)

    async def drive(queue: WorkQueue[str]) -> None:
        queue.add("a")
        await asyncio.sleep(0.5)
        queue.add("a")
        queue.add("a")
        await asyncio.sleep(100)

    run(work, drive)
    assert work.calls == [(0, "a"), (1, "a")]


def test_no_more_workers_than_said_and_the_first_come_first() -> None:
    work = Recorder()

    async def drive(queue: WorkQueue[str]) -> None:
        for key in "abcde":
            queue.add(key)
        await asyncio.sleep(100)

    run(work, drive, workers=2)
    assert work.calls == [(0, "a"), (0, "b"), (1, "c"), (1, "d"), (2, "e")]


def test_work_returns_the_delay_to_its_next_pass_and_an_event_comes_first() -> None:
    work = Recorder(10.0, 10.0, None)

    async def drive(queue: WorkQueue[str]) -> None:
        queue.add("a")  # done at 1, again at 11, done at 12, again at 22 but for the event
        await asyncio.sleep(15)
        queue.add("a")
        await asyncio.sleep(100)

    run(work, drive)
    assert work.calls == [(0, "a"), (11, "a"), (15, "a")]


def test_events_go_before_passes_by_the_clock() -> None:
    """A new run must not wait behind a thousand that wait for a node."""
    work = Recorder(5.0, 5.0, 5.0, None, None, None, None)

    async def drive(queue: WorkQueue[str]) -> None:
        for key in "abc":  # done at 1, 2, 3; due again at 6, 7, 8
            queue.add(key)
        await asyncio.sleep(5.5)
        for key in ("x", "y", "c"):  # busy with x until 6.5, with y until 7.5
            queue.add(key)
        await asyncio.sleep(100)

    run(work, drive, workers=1)
    assert [key for _, key in work.calls] == ["a", "b", "c", "x", "y", "c", "a", "b"]


def test_errors_make_it_slower_and_success_makes_it_forget() -> None:
    lost = ClusterError("no answer")
    work = Recorder(*[lost] * 8, None, lost, None)

    async def drive(queue: WorkQueue[str]) -> None:
        queue.add("a")
        await asyncio.sleep(1000)
        queue.add("a")
        await asyncio.sleep(1000)

    run(work, drive)
    times = [at for at, _ in work.calls]
    pauses = [later - at - 1 for at, later in pairwise(times)]
    assert pauses[:8] == [1, 2, 4, 8, 16, 32, 60, 60]
    assert times[9] == 1000
    assert pauses[9:] == [1]


def test_an_error_is_logged_once_and_remembered_until_it_is_gone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    forbidden = "write the status of QInstructTraining team/x: forbidden"
    ends = [*[ClusterError(forbidden) for _ in range(3)], ClusterError("no answer"), None]
    work = Recorder(*ends, ClusterError(forbidden))
    troubles: list[str | None] = []

    async def drive(queue: WorkQueue[str]) -> None:
        for seconds in (5, 8, 27):  # after two passes, three, all
            queue.add("a") if seconds == 5 else None
            await asyncio.sleep(seconds)
            troubles.append(str(queue.troubles["a"]) if "a" in queue.troubles else None)
        queue.add("a")
        await asyncio.sleep(1.5)

    run(work, drive)
    assert troubles == [forbidden, "no answer", None]
    assert [each.getMessage() for each in caplog.records] == [
        f"a: {one}; tried again until it works" for one in (forbidden, "no answer", forbidden)
    ]


def test_the_server_says_how_long_to_wait() -> None:
    work = Recorder(ClusterError("slow down", status=429, retry_after=7.0))

    async def drive(queue: WorkQueue[str]) -> None:
        queue.add("a")
        await asyncio.sleep(100)

    run(work, drive)
    assert work.calls == [(0, "a"), (8, "a")]


def test_a_conflict_is_tried_again_at_once() -> None:
    work = Recorder(*[Conflict("changed")] * 3)

    async def drive(queue: WorkQueue[str]) -> None:
        queue.add("a")
        await asyncio.sleep(100)

    run(work, drive)
    assert work.calls == [(0, "a"), (1.1, "a"), (2.2, "a"), (3.3, "a")]


def test_a_bug_in_one_run_does_not_stop_the_others(caplog: pytest.LogCaptureFixture) -> None:
    async def work(key: str) -> float | None:
        if key == "bad":
            raise KeyError(key)
        done.append(key)
        return None

    done: list[str] = []

    async def drive(queue: WorkQueue[str]) -> None:
        for key in ("bad", "good"):
            queue.add(key)
        await asyncio.sleep(2)

    with caplog.at_level(logging.ERROR):
        run(work, drive, workers=1)
    assert done == ["good"]
    assert "bad: a bug, tried again later" in caplog.text
    assert "KeyError" in caplog.text


def test_a_stopped_queue_leaves_no_timer() -> None:
    work = Recorder(5.0)

    async def drive(queue: WorkQueue[str]) -> None:
        queue.add("a")
        await asyncio.sleep(2)

    async def main() -> None:
        queue = WorkQueue(work)
        working = asyncio.create_task(queue.run())
        await drive(queue)
        working.cancel()
        await asyncio.wait([working])
        await asyncio.sleep(100)
        assert len(queue) == 0

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(main())
    assert work.calls == [(0, "a")]


ENDS = st.sampled_from(["done", "again", "lost", "conflict", "bug"])
KEYS = st.sampled_from("abc")


_RAISED: dict[str, Exception] = {
    "lost": ClusterError("no answer"),
    "conflict": Conflict("changed"),
    "bug": ValueError("a bug"),
}


@settings(deadline=None, max_examples=150)
@given(
    st.lists(st.tuples(KEYS, st.sampled_from([0.0, 0.3, 1.0, 9.0]), ENDS), max_size=30),
    st.integers(1, 4),
)
def test_never_two_at_a_time_and_never_lost(
    steps: list[tuple[str, float, str]], workers: int
) -> None:
    """Whatever is added, whenever, and however the work on it ends."""
    at_work: Counter[str] = Counter()
    most: Counter[str] = Counter()
    added: dict[str, float] = {}
    began: dict[str, float] = {}
    ended: dict[str, str] = {}
    ends = [end for _, _, end in steps]

    async def work(key: str) -> float | None:
        at_work[key] += 1
        most[key] = max(most[key], at_work[key])
        most["all"] = max(most["all"], at_work.total())
        began[key] = now()
        await asyncio.sleep(0.7)
        at_work[key] -= 1
        ended[key] = end = ends.pop() if ends else "done"
        if end in _RAISED:
            raise _RAISED[end]
        return 3.0 if end == "again" else None

    async def drive(queue: WorkQueue[str]) -> None:
        for key, pause, _ in steps:
            added[key] = now()
            queue.add(key)
            await asyncio.sleep(pause)
        await asyncio.sleep(10_000)
        assert len(queue) == 0

    logging.disable(logging.CRITICAL)  # the bugs are ours
    try:
        run(work, drive, workers)
    finally:
        logging.disable(logging.NOTSET)
    assert most["all"] <= workers
    assert all(most[key] == 1 for key in added)
    assert all(began[key] >= added[key] for key in added)
    assert ended == dict.fromkeys(added, "done")
