"""The holder of a lease: what it writes into its file, and whether its process is dead."""

import os
import secrets
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from qinstruct_trainer.process_stat import live_stat

_MAX_OWNER = 100  # characters
FILE_BYTES = 2048  # fixed size, so that a rewrite never leaves the end of an older content


class Holder(BaseModel):
    """The content of a lease file. `machine` and `born` are empty where /proc is missing.

    Args:
        owner: Name shown to those who wait.
        token: Random, so that no two files are equal.
        machine: A boot of a machine, and a pid namespace on it.
        pid: The process there.
        born: Start time of the process, to distinguish it from a later one with the same pid.
        beat: Number of heartbeats so far.
        released: It has given the lease back.
    """

    model_config = ConfigDict(frozen=True)

    owner: str
    token: str
    machine: str
    pid: int = Field(gt=0)
    born: str
    beat: int = 0
    released: bool = False

    @classmethod
    def this_process(cls, owner: str) -> Self:
        """This process, under a name."""
        pid = os.getpid()
        return cls(
            owner=owner[:_MAX_OWNER],
            token=secrets.token_hex(16),
            machine=_machine(),
            pid=pid,
            born=_start_time(pid),
        )

    def to_bytes(self) -> bytes:
        """The content of the lease file; always of the same size."""
        return self.model_dump_json().encode().ljust(FILE_BYTES)

    @classmethod
    def parse(cls, content: bytes) -> Self | None:
        """The holder, or None while the file is empty or half written."""
        try:
            return cls.model_validate_json(content)
        except ValidationError:
            return None

    def is_on_this_machine(self) -> bool:
        """Whether the process is, or was, in this pid namespace of this machine."""
        return self.machine != "" and self.machine == _machine()

    def is_dead(self) -> bool:
        """Whether it is known to have ended: it was here, and its pid is free or reused."""
        if not self.is_on_this_machine():
            return False
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except PermissionError:  # another user's, whose /proc entry may be hidden
            return False
        return _start_time(self.pid) != self.born


def _machine() -> str:
    """This boot of this machine and this pid namespace, or "" where /proc is missing."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
        namespace = os.readlink("/proc/self/ns/pid")  # noqa: PTH115 - not a path: "pid:[...]"
    except OSError:
        return ""
    return f"{boot} {namespace}"


def _start_time(pid: int) -> str:
    """Start time of a live process in clock ticks since boot; "" when gone or a zombie.

    Field 22 of proc(5), which distinguishes a process from a later one with the same pid.
    """
    fields = live_stat(pid)
    return fields[19] if fields else ""
