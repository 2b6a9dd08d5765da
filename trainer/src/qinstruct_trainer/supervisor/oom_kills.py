"""How many processes of this container the kernel has killed for want of memory."""

import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

_COUNT: Final = re.compile(r"^oom_kill (\d+)$", re.MULTILINE)
_CGROUPS: Final = "sys/fs/cgroup"


def oom_kills(root: Path = Path("/")) -> int | None:
    """The kernel's count for the control group of this process; None where it keeps none.

    Args:
        root: Of the file system with /proc and /sys.
    """
    for file in _files(root):
        with suppress(OSError, UnicodeDecodeError):  # another version's, or not mounted
            if found := _COUNT.search(file.read_text("ascii")):
                return int(found[1])
    return None


def has_grown(before: int | None, now: int | None) -> bool:
    """Whether there were more between two looks."""
    return before is not None and now is not None and now > before


def _files(root: Path) -> Iterator[Path]:
    """Where the count may be, the likeliest first (cgroups(7); the kernel's cgroup-v1, v2).

    A container sees its own group at the top of the mount, whatever /proc calls it in version 1.
    """
    lines: list[str] = []
    with suppress(OSError):
        lines = (root / "proc/self/cgroup").read_text("utf-8", "replace").splitlines()
    for line in lines:
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if "memory" in controllers.split(","):
            v1 = root / _CGROUPS / "memory"
            yield v1 / path.lstrip("/") / "memory.oom_control"
            yield v1 / "memory.oom_control"
        elif (number, controllers) == ("0", ""):
            yield root / _CGROUPS / path.lstrip("/") / "memory.events"
