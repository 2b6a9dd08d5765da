"""What the control group of this process says of its memory: a container's limit. Torch-free."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

_CGROUPS: Final = "sys/fs/cgroup"
# Of a group's memory, its page cache is given back when somebody needs room. In version 1 the
# names of the whole group, with those below it, begin with "total_".
_CACHE: Final = ("inactive_file", "active_file")


@dataclass(frozen=True)
class _Version:
    """Where a version of control groups has its files, and the names of those read here."""

    mount: str
    limit: str
    used: str


_V1: Final = _Version(f"{_CGROUPS}/memory", "memory.limit_in_bytes", "memory.usage_in_bytes")
_V2: Final = _Version(_CGROUPS, "memory.max", "memory.current")


def memory_files(root: Path, v1: str, v2: str) -> Iterator[Path]:
    """Where a file of the group's memory may be, the likeliest first (cgroups(7)).

    A container may see its own group at the top of the mount, whatever /proc calls it.

    Args:
        root: Of the file system with /proc and /sys.
        v1: The file's name in version 1.
        v2: Its name in version 2.
    """
    for version, path in _groups(root):
        for group in (path, "."):
            yield root / version.mount / group / (v1 if version is _V1 else v2)


def _groups(root: Path) -> Iterator[tuple[_Version, PurePosixPath]]:
    """The groups of this process that may count its memory, as paths below the mount."""
    lines: list[str] = []
    with suppress(OSError):
        lines = (root / "proc/self/cgroup").read_text("utf-8", "replace").splitlines()
    for line in lines:
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if "memory" in controllers.split(","):
            yield _V1, PurePosixPath(path.lstrip("/"))
        elif (number, controllers) == ("0", ""):
            yield _V2, PurePosixPath(path.lstrip("/"))


def memory_left(root: Path = Path("/")) -> int:
    """Bytes that the processes of this container may still take; 0 where nothing says it.

    Args:
        root: Of the file system with /proc and /sys.
    """
    found = [_of_the_machine(root), *_of_the_groups(root)]
    return max(0, min((left for left in found if left is not None), default=0))


def _of_the_machine(root: Path) -> int | None:
    kibibytes = _numbers(root / "proc/meminfo").get("MemAvailable:")
    return None if kibibytes is None else kibibytes * 1024


def _of_the_groups(root: Path) -> Iterator[int | None]:
    """Of the own group and of each above it, up to the mount's top: every limit holds."""
    for version, path in _groups(root):
        for group in (path, *path.parents):
            yield _of_the_group(root / version.mount / group, version)


def _of_the_group(group: Path, version: _Version) -> int | None:
    """None without a limit, which is a word in version 2, and a huge number in version 1."""
    limit, used = _number(group / version.limit), _number(group / version.used)
    if limit is None or used is None:
        return None
    found = _numbers(group / "memory.stat")
    return limit - used + sum(found.get(f"total_{name}", found.get(name, 0)) for name in _CACHE)


def _number(file: Path) -> int | None:
    """The number in a file; None for a word, or where there is none."""
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
