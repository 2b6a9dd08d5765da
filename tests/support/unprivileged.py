"""A part of a test without root's rights, to whom every file is open."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

NOBODY: Final = 65534


@contextmanager
def unprivileged() -> Iterator[None]:
    """As `nobody` where this process is root; else as who it is."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@contextmanager
def open_folder() -> Iterator[Path]:
    """A folder to which `nobody` has a way; pytest's own are closed to others."""
    folder = Path(tempfile.mkdtemp(prefix="qinstruct-open-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        for path, folders, _ in os.walk(folder):
            for name in folders:  # before the walk enters it: a test may have closed it
                Path(path, name).chmod(0o700)
        folder.chmod(0o700)
        shutil.rmtree(folder)
