"""How many processes of this container the kernel has killed for want of memory."""

import re
from contextlib import suppress
from pathlib import Path
from typing import Final

from qinstruct_trainer.control_groups import memory_files

_COUNT: Final = re.compile(r"^oom_kill (\d+)$", re.MULTILINE)


def oom_kills(root: Path = Path("/")) -> int | None:
    """The kernel's count for the control group of this process; None where it keeps none.

    Args:
        root: Of the file system with /proc and /sys.
    """
    for file in memory_files(root, "memory.oom_control", "memory.events"):
        with suppress(OSError, UnicodeDecodeError):  # another version's, or not mounted
            if found := _COUNT.search(file.read_text("ascii")):
                return int(found[1])
    return None


def has_grown(before: int | None, now: int | None) -> bool:
    """Whether there were more between two looks."""
    return before is not None and now is not None and now > before
