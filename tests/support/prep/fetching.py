"""One fetch from a server of a test."""

from pathlib import Path
from typing import Any

import pytest

from qinstruct_trainer.contract.config import Source
from qinstruct_trainer.contract.errors import RunError
from qinstruct_trainer.contract.events import Event, PrepProgress
from qinstruct_trainer.prep.progress import Progress
from qinstruct_trainer.prep.sources.http import fetch
from qinstruct_trainer.prep.sources.retry import Retry

QUICK = Retry(attempts=3, first_seconds=0.01, max_seconds=0.02)


def source(url: str, sha256: str | None = None) -> Source:
    """A source of labels."""
    return Source(name="q-instruct-labels", kind="labels", url=url, sha256=sha256)


def get(
    url: str, folder: Path, sha256: str | None = None, retry: Retry = QUICK, **options: Any
) -> bytes:
    """The fetched bytes; the last event says how many they are."""
    events: list[Event] = []
    progress = Progress(events.append, "fetch", "labels", "bytes")
    path = fetch(source(url, sha256), folder / "part", progress, retry, **options)
    last = events[-1]
    assert isinstance(last, PrepProgress)
    assert last.done == last.total == path.stat().st_size
    return path.read_bytes()


def fault_of(url: str, folder: Path, **options: Any) -> RunError:
    """What a fetch says that cannot succeed."""
    progress = Progress(lambda _: None, "fetch", "labels", "bytes")
    with pytest.raises(RunError) as caught:
        fetch(source(url), folder / "part", progress, QUICK, **options)
    assert "\n" not in str(caught.value)
    return caught.value
