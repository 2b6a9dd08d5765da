from pathlib import Path

import pytest

from qinstruct_trainer.train.checkpoint.history import saved_after_step_0, traces_of_training
from qinstruct_trainer.train.metrics.metrics_file import append_metrics, truncate_metrics
from support.checkpoints import write_checkpoints
from support.training_steps import step_event


def test_a_new_run_has_left_no_traces(tmp_path: Path) -> None:
    assert traces_of_training(tmp_path) == []
    truncate_metrics(tmp_path / "metrics.jsonl", 0)  # as before the first step
    write_checkpoints(tmp_path, 0)
    (tmp_path / "checkpoints" / ".partial-step-00000000").mkdir()
    (tmp_path / "model.partial").mkdir()  # killed while it tried out whether it can export
    for name in ("prepared.json", "run.json", "lease.1"):  # of prep, of local mode, of this start
        (tmp_path / name).touch()
    assert traces_of_training(tmp_path) == []


def test_the_metrics_of_one_step_are_a_trace(tmp_path: Path) -> None:
    append_metrics(tmp_path / "metrics.jsonl", step_event(1))
    assert traces_of_training(tmp_path) == [tmp_path / "metrics.jsonl"]


@pytest.mark.parametrize("name", ["identity.json", "evaluation.json", "record.json"])
def test_what_follows_the_last_step_is_a_trace(name: str, tmp_path: Path) -> None:
    (tmp_path / name).touch()
    assert traces_of_training(tmp_path) == [tmp_path / name]


@pytest.mark.parametrize("name", ["step-00000007", ".partial-step-00000007"])
def test_a_checkpoint_of_a_step_is_a_trace_whatever_is_in_it(name: str, tmp_path: Path) -> None:
    (tmp_path / "checkpoints" / name).mkdir(parents=True)
    assert traces_of_training(tmp_path) == [tmp_path / "checkpoints"]


def test_what_was_never_published_was_never_saved(tmp_path: Path) -> None:
    """An older version moved incomplete checkpoints to the same place."""
    quarantine = tmp_path / "checkpoints" / "quarantine"
    (quarantine / "step-00000005").mkdir(parents=True)
    (tmp_path / "checkpoints" / ".partial-step-00000006").mkdir()
    assert saved_after_step_0(tmp_path / "checkpoints") == []
    (quarantine / "step-00000005" / "manifest.json").touch()
    assert saved_after_step_0(tmp_path / "checkpoints") == [quarantine / "step-00000005"]
