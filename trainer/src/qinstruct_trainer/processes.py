"""Processes of a pool that must not outlive the one that started them. Torch-free."""

import multiprocessing
import os
import signal
import threading


def die_with_parent() -> None:
    """Initializer of a pool's process: it is killed when the process of the pool ends, however.

    SIGINT and SIGTERM, which a terminal or an init sends to the whole group, are left to the
    parent: it stops its children in order.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    threading.Thread(target=_wait_and_die, name="parent watch", daemon=True).start()


def _wait_and_die() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGKILL)
