import os
from pathlib import Path

import pytest

from qinstruct_trainer.contract.errors import StorageError
from qinstruct_trainer.train.metrics.metrics_file import (
    append_metrics,
    read_steps,
    truncate_metrics,
)
from support.syncs import note_syncs
from support.training_steps import step_event


def test_a_resume_leaves_exactly_the_steps_that_the_checkpoint_has(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    truncate_metrics(path, 0)
    for number in range(1, 6):
        append_metrics(path, step_event(number))
    with path.open("a") as file:
        file.write('{"v":1,"event":"step","st')  # a crash cut this line
    truncate_metrics(path, 3)
    append_metrics(path, step_event(4))
    assert [step.step for step in read_steps(path)] == [1, 2, 3, 4]


def test_what_a_resume_leaves_survives_a_power_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "metrics.jsonl"
    syncs = note_syncs(monkeypatch, path)
    truncate_metrics(path, 0)
    assert len(syncs.before) == 1
    assert syncs.after == {tmp_path}


def test_what_is_appended_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    steps = [step_event(1, loss=2.5), step_event(2, loss=1 / 3)]
    for step in steps:
        append_metrics(path, step)
    assert read_steps(path) == steps


def test_a_file_that_is_not_there_has_no_steps(tmp_path: Path) -> None:
    assert read_steps(tmp_path / "metrics.jsonl") == []


@pytest.mark.parametrize("kind", ["pipe", "folder", "link", "device"])
def test_what_is_no_plain_file_is_neither_read_nor_waited_for(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to("/dev/zero" if kind == "device" else tmp_path / "elsewhere")
    with pytest.raises(StorageError, match=r"metrics\.jsonl cannot be read: .*; move it away"):
        read_steps(path)


def test_nothing_is_written_where_a_link_leads(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("")
    (tmp_path / "metrics.jsonl").symlink_to(elsewhere)
    with pytest.raises(OSError, match="symbolic links"):
        append_metrics(tmp_path / "metrics.jsonl", step_event(1))
    assert elsewhere.read_text() == ""
