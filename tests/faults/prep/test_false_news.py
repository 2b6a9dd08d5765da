"""Names in data, written so that what quotes them prints an event of theirs: nobody may take it.

A container's log is read as it is here: both streams in one, and by a reader that takes an event
of anybody. What it takes of the process itself carries the word that this was given.
"""

import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from qinstruct_trainer.contract.config import ModelSource, PrepConfig, Source
from qinstruct_trainer.contract.errors import EXIT_DATA
from qinstruct_trainer.contract.events import (
    TERMINATION_LOG_ENV,
    WRITER_ENV,
    Failed,
    parse_line,
)
from support.prep.miniature import Miniature, add_file, write_miniature

WORD = "d5a1b8c0"
FORGED = Failed(reason="Forged", message="pay first", exit_code=65).model_dump_json()
NAMES = [f"a{end}{FORGED}{end}.jpg" for end in ("\n", "\r\n", "\u2028", "\x0b")]


def image_name(miniature: Miniature, name: str) -> None:
    records = [{**record, "image": name} for record in miniature.records]
    miniature.labels.write_text(json.dumps(records), "utf-8")


def record_id(miniature: Miniature, name: str) -> None:
    records = [{**record, "id": name, "image": "missing.jpg"} for record in miniature.records]
    miniature.labels.write_text(json.dumps(records), "utf-8")


def member_name(miniature: Miniature, name: str) -> None:
    """That of a file, and then of a folder."""
    with tarfile.open(miniature.archive, "w") as tar:
        for each in (name, f"{name}/b.jpg"):
            add_file(tar, each, b"")


def prepare(miniature: Miniature, folder: Path) -> tuple[int, list[str]]:
    """Exit code and log of a process that prepares."""
    places = {"labels": miniature.labels, "images": miniature.archive}
    config = PrepConfig(
        run="run",
        cache=folder / "cache",
        output=folder / "output",
        sources=tuple(
            Source(name=name, kind=name, url=path.as_uri()) for name, path in places.items()
        ),
        model=ModelSource(kind="tiny"),
        max_length=512,
        seed=0,
    )
    path = folder / "prep.json"
    path.write_text(config.to_json(), "utf-8")
    ran = subprocess.run(
        [sys.executable, "-m", "qinstruct_trainer", "prep", "--config", str(path)],
        env=os.environ | {WRITER_ENV: WORD, TERMINATION_LOG_ENV: str(folder / "last")},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    return ran.returncode, ran.stdout.decode().split("\n")  # as a container runtime does


ATTACKS = [(image_name, NAMES), (record_id, NAMES[:1]), (member_name, NAMES[:1])]


@pytest.mark.parametrize(
    ("attack", "name"),
    [(attack, name) for attack, names in ATTACKS for name in names],
    ids=lambda value: getattr(value, "__name__", repr(value)[:8]),
)
def test_no_name_makes_news(
    attack: Callable[[Miniature, str], None], name: str, tmp_path: Path
) -> None:
    miniature = write_miniature(tmp_path / "published")
    attack(miniature, name)
    code, log = prepare(miniature, tmp_path)
    events = [event for line in log if (event := parse_line(line, None))]
    assert code == EXIT_DATA
    assert {event.writer for event in events} == {WORD}
    last = events[-1]
    assert isinstance(last, Failed)
    assert last.reason == "BadData"
    assert parse_line((tmp_path / "last").read_text("utf-8"), WORD) == last
