"""An output folder on a disk that hangs, for a training in a process of its own."""

import os
import re
import sys
import time
from pathlib import Path
from typing import Any

HELD_OUTPUT = "HELD_OUTPUT"
"""Names the folder, in the environment."""

_PARTIAL = re.compile(r"/\.partial-step-0*(\d+)/")


def hold_output() -> None:
    """From now on, in this process and its forks, files of a checkpoint may not be begun.

    Not those of the one after step N as long as there is a file `hold-N` in the folder.
    """
    sys.addaudithook(_wait_for_the_disk)


def _wait_for_the_disk(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "open" and isinstance(arguments[2], int) and arguments[2] & os.O_EXCL:
        found = _PARTIAL.search(str(arguments[0]))
        while found and Path(os.environ[HELD_OUTPUT], f"hold-{found[1]}").exists():
            time.sleep(0.01)
