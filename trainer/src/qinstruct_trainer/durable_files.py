"""Files that are on the disk when we say so: digested, synced, replaced as a whole. Torch-free."""

import errno
import hashlib
import os
from pathlib import Path
from typing import Final

NO_SPACE: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""What the system says when a volume, a quota or a file is full."""


def sha256_of(path: Path, *, sync: bool = False) -> str:
    """Hexadecimal SHA-256 of a file; with `sync` the file is on the disk afterwards."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        if sync:
            os.fsync(file.fileno())
    return digest


def sync_path(path: Path) -> None:
    """Bring a file or a folder's list of names to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_durably(path: Path, text: str) -> None:
    """Write a file so that a reader, or the next boot, finds the old text or all of the new."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text, "utf-8")
    sync_path(temporary)
    temporary.replace(path)
    sync_path(path.parent)
