"""containerd's root folder with the images imported, kept for the next node on this machine.

To import the images takes a minute and a half of a core, to link the files that it has made of
them a second. containerd changes none of them: only its databases.
"""

import hashlib
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cluster.harness.programs import locked
from cluster.node.images import images_folder

_NAME: Final = "containerd"


@dataclass(frozen=True)
class KeptRoot:
    """One state of the images, of which there is at most one root."""

    path: Path

    def has(self) -> bool:
        """Whether a node has kept it."""
        return self.path.is_dir()

    def give(self, root: Path) -> None:
        """To a containerd that is not started yet."""
        _link(self.path, root)

    def take(self, root: Path) -> None:
        """From a containerd that has been stopped; what was kept before goes."""
        for old in self.path.parent.glob(f"{_NAME}-*"):
            if old.is_dir():
                shutil.rmtree(old)
        unfinished = self.path.with_name(f"{self.path.name}.new")
        _link(root, unfinished)
        unfinished.rename(self.path)


@contextmanager
def kept_root(archives: Sequence[Path], snapshotter: str) -> Iterator[KeptRoot]:
    """The root that has these archives' images; one process at a time may look and keep."""
    version = subprocess.run([_NAME, "--version"], capture_output=True, text=True, check=True)
    words = "\n".join([version.stdout, snapshotter, *(archive.name for archive in archives)])
    folder = images_folder()
    with locked(folder / _NAME):
        yield KeptRoot(folder / f"{_NAME}-{hashlib.sha256(words.encode()).hexdigest()[:12]}")


def _link(source: Path, target: Path) -> None:
    linked = subprocess.run(["cp", "--archive", "--link", source, target], capture_output=True)
    if linked.returncode != 0:  # another file system
        shutil.rmtree(target, ignore_errors=True)
        subprocess.run(["cp", "--archive", source, target], check=True)
        return
    for database in target.glob("*/*.db"):
        copied = database.with_suffix(".copy")
        shutil.copy2(database, copied)
        copied.rename(database)
