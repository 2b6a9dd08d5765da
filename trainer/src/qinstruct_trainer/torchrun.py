"""torchrun with exit codes: `python -m qinstruct_trainer.torchrun ARGUMENTS OF torchrun`.

torchrun itself exits 1 whatever happened, gives its processes 30 seconds after SIGTERM, prints a
traceback for a user's mistake, and has each process import everything anew. This wrapper runs it
in process and

- imports what the ranks need once, and forks them;
- exits with the code of the rank that failed first (a signal n: 128 + n);
- passes SIGTERM and SIGINT on as SIGTERM and waits as long as the ranks need to save;
- emits the `Failed` event of a rank that was killed and could not do so itself.
"""

import logging
import os
import signal
import sys
from argparse import Namespace
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

import qinstruct_trainer.__main__ as trainer
from qinstruct_trainer.contract.errors import EXIT_OK, EXIT_PEER_LOST, EXIT_STOPPED, KILLED
from qinstruct_trainer.contract.events import (
    Failed,
    emit,
    read_termination_message,
    say,
    termination_log,
)
from qinstruct_trainer.forks import WaitingFork, forks_as_ranks, has_opened
from qinstruct_trainer.imports import without_collector
from qinstruct_trainer.plain_log import open_log

if TYPE_CHECKING:
    from torch.distributed.elastic.multiprocessing.errors import ProcessFailure

# torchrun keeps the signals that end it; we handle those that end the run.
_LEFT_TO_TORCHRUN = "SIGHUP,SIGQUIT"
# Exits that follow from another rank's: torchrun ends the others once one has failed.
_SECONDARY = frozenset({EXIT_PEER_LOST, -signal.SIGTERM})


# What most often stands behind a signal that nobody asked for.
_HINTS: Mapping[int, str] = {
    signal.SIGKILL: ", most often because memory ran out",
    signal.SIGABRT: ", most often because torch gave up on a collective call or a GPU (the log "
    "above says which)",
    signal.SIGBUS: ", most often because shared memory or a disk is full",
}


def main(arguments: Sequence[str]) -> int:
    """Run the ranks to their end; the exit code."""
    open_log()  # of what the imports warn of
    logging.disable(logging.ERROR)  # torchrun's warnings; the ranks have events and sentences
    with suppress(OSError):  # what an earlier run left would pass for this one's message
        termination_log().write_text("", "utf-8")
    waiting: deque[WaitingFork] = deque()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, partial(_pass_on, waiting))
    if "--nproc-per-node=1" not in arguments:
        # torchrun's own default, here before torch reads it: what is imported is the ranks', too.
        os.environ.setdefault("OMP_NUM_THREADS", "1")
    with without_collector():
        from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
        from torch.distributed.run import parse_args, run

    parsed = parse_args([f"--signals-to-handle={_LEFT_TO_TORCHRUN}", *arguments])  # type: ignore[no-untyped-call]
    try:
        with forks_as_ranks(waiting):
            waiting.extend(WaitingFork(_train) for _ in range(_num_forks(parsed)))
            run(parsed)  # type: ignore[no-untyped-call]
    except ChildFailedError as error:
        return conclude(error.failures)
    return EXIT_OK


def _num_forks(parsed: Namespace) -> int:
    """How many ranks may be forks: all of ours, once everything that they need is imported.

    None after an import that failed, which each rank then meets itself and reports, or that has
    called CUDA, which works in no fork of such a process: its driver has this device open then.
    """
    number = str(parsed.nproc_per_node)
    if not (parsed.module and parsed.training_script == "qinstruct_trainer" and number.isdecimal()):
        return 0
    try:
        _import_training()
    except Exception:  # noqa: BLE001 - whatever it is
        return 0
    return 0 if has_opened("/dev/nvidia-uvm") else int(number)


def _import_training() -> None:
    # With flash-attn installed transformers asks torch for GPUs, who then asks NVML and not CUDA.
    with _in_environment("PYTORCH_NVML_BASED_CUDA_CHECK", "1"), without_collector():
        import qinstruct_trainer.train.run  # noqa: F401 - for the ranks
        from qinstruct_trainer.train.ranks import load_deepspeed

    # DeepSpeed wants to know the kind of device, for which CUDA would have to be asked.
    if os.environ.get("CUDA_VISIBLE_DEVICES") == "":
        load_deepspeed("cpu")


@contextmanager
def _in_environment(name: str, value: str) -> Iterator[None]:
    """Set a variable, unless the user has, until the end of the block."""
    if name in os.environ:
        yield
        return
    os.environ[name] = value
    try:
        yield
    finally:
        del os.environ[name]


def _train(arguments: Sequence[str]) -> NoReturn:
    trainer.end_process(trainer.main(arguments))


def _pass_on(waiting: Sequence[WaitingFork], number: int, _frame: FrameType | None) -> None:
    """Hand a stop signal to the ranks; before there are any, just end."""
    ranks = set(_children()) - {fork.pid for fork in waiting}
    if not ranks:
        trainer.end_process(128 + number)
    for pid in ranks:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)


def _children() -> list[int]:
    """Process ids of this process's children (proc(5); Linux)."""
    files = Path("/proc/self/task").glob("*/children")
    return [int(pid) for file in files for pid in file.read_text("ascii").split()]


def conclude(failures: "Mapping[int, ProcessFailure]") -> int:
    """The exit code of the rank that failed first; emits its `Failed` event if it could not.

    Args:
        failures: By rank; not empty.
    """
    rank, root = min(failures.items(), key=_root_cause_first)
    code = root.exitcode if root.exitcode >= 0 else 128 - root.exitcode
    if code in (EXIT_STOPPED, 128 + signal.SIGTERM):
        return code
    event = read_termination_message()
    if root.exitcode < 0:
        event = Failed(reason=KILLED, message=_killed(rank, -root.exitcode), exit_code=code)
        say(event.message)
        emit(event)
    elif 0 in failures and failures[0].exitcode < 0 and isinstance(event, Failed):
        # Rank 0, the one that prints, was ended before it could.
        say(event.message)
        emit(event)
    return code


def _root_cause_first(item: "tuple[int, ProcessFailure]") -> tuple[bool, bool, int, int]:
    """Sort key, the likeliest cause first: not secondary, killed from outside, early, low rank.

    torchrun's times are whole seconds, so that a killed rank and a rank that noticed it often tie.
    """
    rank, failure = item
    return failure.exitcode in _SECONDARY, failure.exitcode >= 0, failure.timestamp, rank


def _killed(rank: int, number: int) -> str:
    name = signal.Signals(number).name
    hint = _HINTS.get(number, "")
    return (
        f"rank {rank} was killed by {name}{hint}; start the same command again: "
        "it goes on from the last checkpoint"
    )


if __name__ == "__main__":
    trainer.end_process(main(sys.argv[1:]))
