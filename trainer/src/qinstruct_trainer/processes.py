"""How processes end: those of a pool with the one that started them, ours at once. Torch-free."""

import multiprocessing
import os
import signal
import sys
import threading
from contextlib import suppress
from typing import NoReturn


def die_with_parent() -> None:
    """Initializer of a pool's process: it is killed when the process of the pool ends, however.

    SIGINT and SIGTERM, which a terminal or an init sends to the whole group, are left to the
    parent: it stops its children in order.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    threading.Thread(target=_wait_and_die, name="parent watch", daemon=True).start()


def end_process(code: int) -> NoReturn:
    """End this process now; whatever must be written or given back has been.

    Python would first take apart thousands of modules: more than a second of each rank's time,
    in which, on GPUs, the destructors of CUDA and NCCL can still hang a finished run.
    """
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):  # nobody reads it any more
            stream.flush()
    os._exit(code)


def _wait_and_die() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGKILL)
