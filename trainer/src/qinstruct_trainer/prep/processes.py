"""Work that is spread over processes, with results in order and few tasks at a time in memory."""

import multiprocessing
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

from qinstruct_trainer.contract.errors import DataError
from qinstruct_trainer.parent_death import kill_worker_with_pool

_TASKS_AHEAD = 2  # a process: some tasks take longer than others

Task = TypeVar("Task")
Result = TypeVar("Result")


def map_in_processes(
    start: Callable[[], Callable[[Task], Result]],
    tasks: Iterable[Task],
    num_processes: int,
    killed: str,
    *,
    preload: str | None = None,
) -> Iterator[Result]:
    """The results of all tasks, in the order of the tasks.

    The processes are forks of multiprocessing's own server; a fork of this process, beside the
    lease's heartbeat thread, might lock up. They end with this one.

    Args:
        start: Called once in each process; returns what does a task there.
        tasks: Read a few at a time.
        num_processes: How many.
        killed: The sentence if one of them was killed.
        preload: A module that the server imports once for all processes, if it has not begun.

    Raises:
        DataError: a process was killed; or what a task raises, in its place.
    """
    context = multiprocessing.get_context("forkserver")
    if preload is not None:
        context.set_forkserver_preload([preload])
    pool = ProcessPoolExecutor(num_processes, context, _begin, (start,))
    waiting: deque[Future[Result]] = deque()
    try:
        for task in tasks:
            waiting.append(pool.submit(_do, task))
            if len(waiting) > _TASKS_AHEAD * num_processes:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    except BrokenProcessPool as error:
        raise DataError(killed) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


class _Worker:
    """What this process does, if it is a pool's."""

    do: Callable[[Any], Any]


def _begin(start: Callable[[], Callable[[Any], Any]]) -> None:
    kill_worker_with_pool()
    _Worker.do = staticmethod(start())


def _do(task: Any) -> Any:
    return _Worker.do(task)
