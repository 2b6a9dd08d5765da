"""What the control group of this process says of its memory: a container's limit. Torch-free."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

_CGROUPS: Final = "sys/fs/cgroup"
# Of a group's memory, its page cache is given back when somebody needs room. In version 1 the
# names of the whole group, with those below it, begin with "total_".
_CACHE: Final = ("inactive_file", "active_file")


def memory_files(root: Path, v1: str, v2: str) -> Iterator[Path]:
    """Where a file of the group's memory may be, the likeliest first (cgroups(7)).

    A container sees its own group at the top of the mount, whatever /proc calls it in version 1.

    Args:
        root: Of the file system with /proc and /sys.
        v1: The file's name in version 1.
        v2: Its name in version 2.
    """
    lines: list[str] = []
    with suppress(OSError):
        lines = (root / "proc/self/cgroup").read_text("utf-8", "replace").splitlines()
    for line in lines:
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if "memory" in controllers.split(","):
            group = root / _CGROUPS / "memory"
            yield group / path.lstrip("/") / v1
            yield group / v1
        elif (number, controllers) == ("0", ""):
            yield root / _CGROUPS / path.lstrip("/") / v2


def memory_left(root: Path = Path("/")) -> int:
    """Bytes that the processes of this container may still take; 0 where nothing says it.

    Args:
        root: Of the file system with /proc and /sys.
    """
    found = [left for left in (_of_the_machine(root), _of_the_group(root)) if left is not None]
    return max(0, min(found, default=0))


def _of_the_machine(root: Path) -> int | None:
    kibibytes = _numbers(root / "proc/meminfo").get("MemAvailable:")
    return None if kibibytes is None else kibibytes * 1024


def _of_the_group(root: Path) -> int | None:
    """None without a limit, which is a word in version 2, and a huge number in version 1."""
    limit = _number(memory_files(root, "memory.limit_in_bytes", "memory.max"))
    used = _number(memory_files(root, "memory.usage_in_bytes", "memory.current"))
    if limit is None or used is None:
        return None
    for file in memory_files(root, "memory.stat", "memory.stat"):
        if found := _numbers(file):
            cache = (found.get(f"total_{name}", found.get(name, 0)) for name in _CACHE)
            return limit - used + sum(cache)
    return limit - used


def _number(files: Iterator[Path]) -> int | None:
    """The number in the first of the files that is there; None for a word."""
    for file in files:
        with suppress(OSError, UnicodeDecodeError):
            text = file.read_text("ascii").strip()
            return int(text) if text.isdecimal() else None
    return None


def _numbers(file: Path) -> dict[str, int]:
    """The lines `name number`, with a unit or without."""
    lines: list[list[str]] = []
    with suppress(OSError, UnicodeDecodeError):
        lines = [line.split() for line in file.read_text("ascii").splitlines()]
    return {words[0]: int(words[1]) for words in lines if len(words) > 1 and words[1].isdecimal()}
