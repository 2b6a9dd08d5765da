"""A disk that hangs: no file of a checkpoint's state is begun until it is let go."""

import os
from pathlib import Path
from threading import Event

import pytest


def hold_disk(monkeypatch: pytest.MonkeyPatch, step: int) -> Event:
    """From now on the files of that step's checkpoint wait for the event."""
    go_on = Event()
    really_open = os.open

    def held_open(path: str | Path, flags: int, *rest: object, **more: object) -> int:
        if flags & os.O_EXCL and f".partial-step-{step:08d}" in str(path):
            assert go_on.wait(60)
        return really_open(path, flags, *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "open", held_open)
    return go_on
