"""torchrun with exit codes: `python -m qinstruct_trainer.torchrun ARGUMENTS OF torchrun`.

torchrun itself exits 1 whatever happened, gives its processes 30 seconds after SIGTERM, prints a
traceback for a user's mistake, and has each process import everything anew. This wrapper runs it
in process and

- imports what the ranks need once, and forks them;
- exits with the code of the rank that failed first (a signal n: 128 + n);
- passes SIGTERM and SIGINT on as SIGTERM and waits as long as the ranks need to save;
- emits the `Failed` event of a rank that was killed and could not do so itself;
- ends ranks of which one hangs.

Where the run's config allows retries in place, all this is one try in a fork below a `supervisor`.
"""

import faulthandler
import logging
import os
import signal
import sys
import traceback
from argparse import Namespace
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

import qinstruct_trainer.__main__ as trainer
from qinstruct_trainer.contract.config import RunConfig
from qinstruct_trainer.contract.errors import EXIT_OK, EXIT_PEER_LOST, EXIT_STOPPED, RunError
from qinstruct_trainer.contract.events import (
    Failed,
    clear_termination_message,
    emit,
    read_termination_message,
    say,
)
from qinstruct_trainer.contract.launch import run_config_of
from qinstruct_trainer.contract.restarts import RESTARTS_ENV
from qinstruct_trainer.forks import WaitingFork, forks_as_ranks, has_opened
from qinstruct_trainer.heartbeats import Limits, Page
from qinstruct_trainer.imports import without_collector
from qinstruct_trainer.plain_log import open_log
from qinstruct_trainer.supervisor.killed import killed
from qinstruct_trainer.supervisor.oom_kills import has_grown, oom_kills
from qinstruct_trainer.supervisor.tries import children, supervise, unblock_signals
from qinstruct_trainer.supervisor.watch import Watch

if TYPE_CHECKING:
    from torch.distributed.elastic.multiprocessing.errors import ProcessFailure

# torchrun keeps the signals that end it; we handle those that end the run.
_LEFT_TO_TORCHRUN = "SIGHUP,SIGQUIT"
# Exits that follow from another rank's: torchrun ends the others once one has failed.
_SECONDARY = frozenset({EXIT_PEER_LOST, -signal.SIGTERM})
_STDERR = 2  # whatever Python has in its place


def main(arguments: Sequence[str]) -> int:
    """Run the ranks to their end, started again in place as often as the run allows.

    Returns:
        The exit code.
    """
    open_log()  # of what the imports warn of
    config = _config(arguments)
    if config is not None and config.in_place_retries:
        return supervise(partial(_try_and_end, arguments), config)
    os.environ.pop(RESTARTS_ENV, None)
    return _try(arguments)


def _config(arguments: Sequence[str]) -> RunConfig | None:
    """The run that the ranks are to train; None where there is none, or they refuse it."""
    path = run_config_of(arguments)
    if path is not None:
        with suppress(RunError):
            return RunConfig.read(path)
    return None


def _try_and_end(arguments: Sequence[str]) -> NoReturn:
    """One try, in a process of its own."""
    try:
        code = _try(arguments)
    except SystemExit as error:  # wrong arguments
        code = error.code if isinstance(error.code, int) else 1
    except BaseException:  # noqa: BLE001 - the outermost level of this process
        traceback.print_exc()
        code = 1
    trainer.end_process(code)


def _try(arguments: Sequence[str]) -> int:
    """Start the ranks and run them to their end; the exit code."""
    logging.disable(logging.ERROR)  # torchrun's warnings; the ranks have events and sentences
    clear_termination_message()  # what an earlier run left would pass for this one's
    kills = oom_kills()
    waiting: deque[WaitingFork] = deque()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, partial(_pass_on, waiting))
    for number in (signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)  # until there are ranks
    # Imports that hang, in C as well: the stacks to the log, and exit code 1.
    faulthandler.dump_traceback_later(Limits.read(os.environ).long, exit=True, file=_STDERR)
    unblock_signals()
    if "--nproc-per-node=1" not in arguments:
        # torchrun's own default, here before torch reads it: what is imported is the ranks', too.
        os.environ.setdefault("OMP_NUM_THREADS", "1")
    with without_collector():
        from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
        from torch.distributed.run import parse_args, run

    parsed = parse_args([f"--signals-to-handle={_LEFT_TO_TORCHRUN}", *arguments])  # type: ignore[no-untyped-call]
    num_forks = _num_forks(parsed)
    faulthandler.cancel_dump_traceback_later()  # its thread ends: there is none when we fork
    watch = Watch(Page())
    try:
        with forks_as_ranks(waiting):
            waiting.extend(WaitingFork(_train) for _ in range(num_forks))
            signal.signal(signal.SIGUSR1, watch.handle)
            signal.signal(signal.SIGUSR2, watch.handle)
            with watch:
                run(parsed)  # type: ignore[no-untyped-call]
    except ChildFailedError as error:
        return watch.exit_code or conclude(
            error.failures, out_of_memory=has_grown(kills, oom_kills())
        )
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
    ranks = set(children()) - {fork.pid for fork in waiting}
    if not ranks:
        trainer.end_process(128 + number)
    for pid in ranks:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)


def conclude(failures: "Mapping[int, ProcessFailure]", *, out_of_memory: bool = False) -> int:
    """The exit code of the rank that failed first; emits its `Failed` event if it could not.

    Args:
        failures: By rank; not empty.
        out_of_memory: The kernel has killed something since the ranks were started, for want of
            memory: who was killed then ends as `OutOfMemoryError` says.
    """
    rank, root = min(failures.items(), key=_root_cause_first)
    code = root.exitcode if root.exitcode >= 0 else 128 - root.exitcode
    if code in (EXIT_STOPPED, 128 + signal.SIGTERM):
        return code
    event = read_termination_message()
    if root.exitcode < 0:
        event = killed(f"rank {rank}", -root.exitcode, out_of_memory=out_of_memory)
        say(event.message)
        emit(event)
        code = event.exit_code
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


if __name__ == "__main__":
    trainer.end_process(main(sys.argv[1:]))
