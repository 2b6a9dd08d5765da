"""The model stage in a process of its own: what it imports and holds goes with it.

torch and transformers take 700 MB and seconds to import. Prep itself, which waits meanwhile and
then indexes, stays small.
"""

import multiprocessing
import signal
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from qinstruct_trainer.contract.config import ModelSource
from qinstruct_trainer.contract.errors import OutOfMemoryError, RunError
from qinstruct_trainer.imports import without_collector
from qinstruct_trainer.parent_death import kill_worker_with_pool
from qinstruct_trainer.plain_log import open_log

Note = Callable[[int, int], None]
"""Takes the bytes of weights written and to be written."""


@dataclass(frozen=True)
class ModelTask:
    """What to build; see `build_model`.

    Attributes:
        source: What to build it from.
        folder: Where it goes.
        seed: Of the tiny model.
        records: The merged records.
        hub: Where repositories of the hub are kept.
        networks: Which those may come from besides public addresses; None: from any.
    """

    source: ModelSource
    folder: Path
    seed: int
    records: Path
    hub: Path
    networks: tuple[str, ...] | None


def build_apart(task: ModelTask, note: Note) -> None:
    """Build the model in a new process, which ends with this one.

    A process that has imported torch already does it itself.

    Raises:
        RunError: as `build_model` raises.
        OutOfMemoryError: the process was killed.
    """
    if "torch" in sys.modules:
        _build(task, note)
        return
    context = multiprocessing.get_context("spawn")  # a fork would have the lease's thread's locks
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(task, theirs), name="model")
    process.start()
    theirs.close()
    try:
        while (message := ours.recv()) is not None:
            if isinstance(message, BaseException):
                raise message
            note(*message)
    except EOFError as error:
        process.join()
        raise _died(process.exitcode or 0) from error
    finally:
        process.kill()
        process.join()
        ours.close()


def _died(code: int) -> RunError:
    how = f"ended with code {code}"
    if code < 0:
        with suppress(ValueError):
            how = f"was killed by {signal.Signals(-code).name}"
    return OutOfMemoryError(
        f"the process that builds the starting model {how}, most often because memory ran out; "
        "give prep more memory"
    )


def _work(task: ModelTask, connection: Connection) -> None:
    """In the new process: report progress, then None, or the exception."""
    kill_worker_with_pool()
    open_log()
    try:
        _build(task, lambda done, total: connection.send((done, total)))
    except Exception as error:  # noqa: BLE001 - the other process raises it again
        if not isinstance(error, RunError):
            error.add_note(traceback.format_exc())
        _send(connection, error)
    else:
        connection.send(None)


def _send(connection: Connection, error: Exception) -> None:
    try:
        connection.send(error)
    except Exception:  # noqa: BLE001 - of a class that cannot be pickled
        told = RuntimeError(f"{type(error).__name__}: {error}")
        told.add_note(traceback.format_exc())
        connection.send(told)


def _build(task: ModelTask, note: Note) -> None:
    with without_collector():
        from qinstruct_trainer.prep.model import build_model, read_texts
        from qinstruct_trainer.prep.sources.hub import Place

    build_model(
        task.source,
        task.folder,
        seed=task.seed,
        texts=read_texts(task.records),
        progress=note,
        place=Place(task.hub, task.networks),
    )
