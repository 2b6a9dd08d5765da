"""What is on the disk when a folder gets its name: a power cut may take whatever was not synced."""

import os
from dataclasses import dataclass, field
from pathlib import Path

import pytest


@dataclass(frozen=True)
class Syncs:
    """Paths of the files and folders that were brought to the disk, by when."""

    before: set[Path] = field(default_factory=set)
    after: set[Path] = field(default_factory=set)


def note_syncs(monkeypatch: pytest.MonkeyPatch, published: Path) -> Syncs:
    """From now on: what this process syncs before `published` exists, and afterwards."""
    syncs = Syncs()
    sync = os.fsync

    def fsync(descriptor: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        (syncs.after if published.exists() else syncs.before).add(path)
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    return syncs
