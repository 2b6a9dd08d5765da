"""A disk that hangs, for all Python processes that have this folder in PYTHONPATH.

No file of the checkpoint after step N is begun as long as there is a file `hold-N` in the folder
that HELD_OUTPUT names.
"""

import os
import re
import sys
import time
from pathlib import Path
from typing import Any

_PARTIAL = re.compile(r"/\.partial-step-0*(\d+)/")


def _wait_for_the_disk(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "open" and isinstance(arguments[2], int) and arguments[2] & os.O_EXCL:
        found = _PARTIAL.search(str(arguments[0]))
        while found and Path(os.environ["HELD_OUTPUT"], f"hold-{found[1]}").exists():
            time.sleep(0.01)


sys.addaudithook(_wait_for_the_disk)
