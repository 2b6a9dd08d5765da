"""Start a command that is told to stop when its parent dies, however the parent dies.

Run as a script: `python tied.py PARENT_PID COMMAND...`. The kernel keeps the wish over execve
(prctl(2), PR_SET_PDEATHSIG), so the command itself needs to know nothing. Other systems than
Linux lack the call; there a killed parent leaves its child to finish.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def main(arguments: list[str]) -> None:
    """Tie this process to `arguments[0]`, a process id, and become `arguments[1:]`."""
    parent, command = int(arguments[0]), arguments[1:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
    if os.getppid() != parent:  # it died before the wish was made
        sys.exit(128 + signal.SIGTERM)
    os.execv(command[0], command)


if __name__ == "__main__":
    main(sys.argv[1:])
