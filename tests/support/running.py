"""Whether processes run, for tests that end them."""

import time
from collections.abc import Callable
from pathlib import Path

SECONDS = 20  # until a hanging test fails; no test that passes waits for it


def is_running(pid: int) -> bool:
    """Whether the process runs; a zombie that nobody has waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
