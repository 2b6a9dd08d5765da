"""Our torchrun, of which rank 1 hangs once, in a way that is given: for tests of the watch."""

import ctypes
import os
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from qinstruct_trainer import torchrun

STEP: Final = 5
_ENDLESS: Final = 10**6  # seconds


def wait_for_an_event() -> None:
    threading.Event().wait()


def read_a_fifo() -> None:
    fifo = Path(tempfile.mkdtemp()) / "fifo"
    os.mkfifo(fifo)
    fifo.read_bytes()


def sleep_in_c() -> None:
    """With the lock of the interpreter, so that no Python code runs in this process."""
    while True:
        ctypes.PyDLL(None).sleep(_ENDLESS)  # a signal ends it


def be_slow() -> None:
    time.sleep(4)


def hang_in(owner: type, name: str, hang: Callable[[], None], hung: Path) -> None:
    """At the end of call number `STEP` of rank 1, which every step makes once."""
    original: Any = getattr(owner, name)
    calls = 0

    def run(*arguments: Any, **more: Any) -> Any:
        nonlocal calls
        calls += 1
        result = original(*arguments, **more)
        if os.environ["RANK"] == "1" and calls == STEP and not hung.exists():
            hung.touch()
            hang()
        return result

    setattr(owner, name, run)


def patch(way: str, hung: Path) -> None:
    from qinstruct_trainer.train.batches.loader import MicroBatches
    from qinstruct_trainer.train.engine import Engine

    match way:
        case "loader":
            hang_in(MicroBatches, "batch", wait_for_an_event, hung)
        case "file":
            hang_in(MicroBatches, "batch", read_a_fifo, hung)
        case "interpreter":
            hang_in(Engine, "optimizer_step", sleep_in_c, hung)
        case "collective":
            hang_in(Engine, "forward_backward", wait_for_an_event, hung)
        case "slow":
            hang_in(Engine, "optimizer_step", be_slow, hung)


def main(way: str, hung: Path, arguments: Sequence[str]) -> int:
    """Run torchrun; the file `hung` says that the rank has hung, and keeps the next try from it."""
    really_import = torchrun._import_training

    def import_training() -> None:
        really_import()
        patch(way, hung)

    torchrun._import_training = import_training
    return torchrun.main(arguments)
