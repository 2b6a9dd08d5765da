"""How a process ends when its parent dies: a rank, a command of local mode, a pool's worker.

As a program it starts a command that ends with its parent:
`python -m qinstruct_trainer.parent_death PARENT_PID COMMAND...`.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_PR_SET_CHILD_SUBREAPER = 36


def signal_on_parent_death(number: signal.Signals) -> None:
    """Have the kernel send this process a signal when its parent dies, however it dies.

    The request outlives execve (prctl(2), PR_SET_PDEATHSIG). Other systems than Linux lack the
    call; there a killed parent leaves its child to finish.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0)


def adopt_orphans() -> None:
    """Make this process the parent of each process below it whose own parent dies.

    Process 1 of a container is that anyway. Other systems than Linux lack the call.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def kill_worker_with_pool() -> None:
    """Initializer of a pool's worker: it is killed when the process that owns the pool ends.

    The kernel's signal would not do: the parent of a worker is the fork server. SIGINT and
    SIGTERM, which a terminal or an init sends to the whole group, are left to the owner: it stops
    its workers in order.
    """
    import threading  # not needed by the program, which must be quick to make its request

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    threading.Thread(target=_kill_after_owner, name="pool owner watch", daemon=True).start()


def main(arguments: list[str]) -> None:
    """Become the command `arguments[1:]`; it gets SIGTERM when process `arguments[0]` dies."""
    parent, command = int(arguments[0]), arguments[1:]
    signal_on_parent_death(signal.SIGTERM)
    if os.getppid() != parent:  # it died before the request was made
        sys.exit(128 + signal.SIGTERM)
    os.execv(command[0], command)


def _kill_after_owner() -> None:
    import multiprocessing

    owner = multiprocessing.parent_process()
    if owner is not None:
        owner.join()
        os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main(sys.argv[1:])
