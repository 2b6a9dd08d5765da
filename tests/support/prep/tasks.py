"""What the processes of a pool do in tests; they import it."""

import os
import signal
from collections.abc import Callable

from qinstruct_trainer.contract.errors import DataError


def times(factor: int) -> Callable[[int], int]:
    """Multiply; 13 is bad data."""

    def multiply(number: int) -> int:
        if number == 13:
            raise DataError("13 is refused")
        return factor * number

    return multiply


def die_at(number: int) -> Callable[[int], int]:
    """Give the task back; at one of them the process is killed."""

    def work(task: int) -> int:
        if task == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return task

    return work
