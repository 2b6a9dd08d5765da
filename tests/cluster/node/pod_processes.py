"""The processes of a pod on a real node, as this machine sees them."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class PodProcess:
    """A process that lives.

    Attributes:
        pid: as this machine counts.
        name: what `ps` calls it.
        command: the words that it was started with.
    """

    pid: int
    name: str
    command: tuple[bytes, ...]


def pod_processes(uid: str) -> Iterator[PodProcess]:
    """Those of the pod with this uid, by its cgroup: other pods run the same on this machine."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if f"/pod{uid}/" in (process / "cgroup").read_text("ascii"):
                words = (process / "cmdline").read_bytes().split(b"\0")
                name = (process / "comm").read_text("utf-8", errors="replace").rstrip("\n")
                yield PodProcess(int(process.name), name, tuple(words))
        except OSError:  # it has ended
            continue
