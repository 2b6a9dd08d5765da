"""Results in the order of the tasks, few tasks read ahead, and an end with a sentence."""

from collections.abc import Iterator
from functools import partial

import pytest

from qinstruct_trainer.contract.errors import DataError
from qinstruct_trainer.prep.processes import map_in_processes
from support.prep import tasks

KILLED = "one was killed; give prep more memory"


def test_results_come_in_order_and_tasks_are_read_as_they_are_due() -> None:
    read = 0

    def endless() -> Iterator[int]:
        nonlocal read
        for number in range(20, 10_000):
            read += 1
            yield number

    results = map_in_processes(partial(tasks.times, 3), endless(), 2, KILLED)
    assert [next(results) for _ in range(50)] == [3 * number for number in range(20, 70)]
    assert read < 60
    results.close()  # type: ignore[attr-defined]


@pytest.mark.parametrize("num_tasks", [0, 1, 30])
def test_every_task_is_done_once(num_tasks: int) -> None:
    numbers = range(100, 100 + num_tasks)
    results = map_in_processes(partial(tasks.times, 2), numbers, 2, KILLED)
    assert list(results) == [2 * number for number in numbers]


def test_what_a_task_raises_arrives_in_its_place() -> None:
    results = map_in_processes(partial(tasks.times, 2), [1, 2, 13, 3], 2, KILLED)
    assert [next(results), next(results)] == [2, 4]
    with pytest.raises(DataError, match="13 is refused"):
        next(results)


def test_a_killed_process_is_a_sentence() -> None:
    with pytest.raises(DataError, match=KILLED):
        list(map_in_processes(partial(tasks.die_at, 5), range(9), 2, KILLED))
