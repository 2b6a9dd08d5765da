"""What the kernel says of a process that lives: /proc/PID/stat. Torch-free."""

from pathlib import Path


def live_stat(pid: int) -> list[str]:
    """The fields behind the name in brackets, from field 3 of proc(5) on: the state, a letter.

    Empty when it is gone, or a zombie.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text("ascii", "replace").rpartition(")")[2].split()
    except OSError:
        return []
    return [] if fields[0] in "ZX" else fields
