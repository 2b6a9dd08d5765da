"""What a process that a signal has ended cannot say itself: its `Failed` event. Pure."""

import signal
from collections.abc import Mapping
from typing import Final

from qinstruct_trainer.contract.errors import KILLED, OutOfMemoryError
from qinstruct_trainer.contract.events import Failed

# What most often stands behind a signal that nobody asked for.
_HINTS: Final[Mapping[int, str]] = {
    signal.SIGKILL: ", most often because memory ran out",
    signal.SIGABRT: ", most often because torch gave up on a collective call or a GPU (the log "
    "above says which)",
    signal.SIGBUS: ", most often because shared memory or a disk is full",
}


def killed(who: str, number: int, *, out_of_memory: bool) -> Failed:
    """The end of a process by a signal that nobody asked for.

    Args:
        who: e.g. `rank 1`.
        number: of the signal.
        out_of_memory: the kernel has killed something of this container for want of memory.
    """
    if number == signal.SIGKILL and out_of_memory:
        return Failed(
            reason=OutOfMemoryError.reason,
            message=f"{who} was killed by the kernel, because the memory of its container or "
            "machine ran out; lower training.microBatchSize or training.maxLength, or give it "
            "more memory: each time it would end so again",
            exit_code=OutOfMemoryError.exit_code,
        )
    name, hint = signal.Signals(number).name, _HINTS.get(number, "")
    return Failed(
        reason=KILLED,
        message=f"{who} was killed by {name}{hint}; start the same command again: "
        "it goes on from the last checkpoint",
        exit_code=128 + number,
    )
