import os
from pathlib import Path

from qinstruct_trainer.contract import output_files
from qinstruct_trainer.contract.events import Step
from qinstruct_trainer.supervisor.reached import reached
from qinstruct_trainer.train.metrics.metrics_file import append_metrics


def step(number: int) -> Step:
    values: dict[str, float] = dict.fromkeys(
        ("loss", "learning_rate", "gradient_norm", "seconds", "samples_per_second"), 1.0
    )
    counts = {"tokens": 1, "tokens_per_second": 1, "eta_seconds": 1, "memory_bytes": 1}
    return Step.model_validate({"step": number, "steps": 9, **values, **counts})


def test_a_run_that_has_left_nothing_has_reached_nothing(tmp_path: Path) -> None:
    found = reached(tmp_path / "none")
    assert (found.step, found.saved_at) == (None, None)


def test_the_last_step_and_the_newest_checkpoint(tmp_path: Path) -> None:
    for number in (1, 2):
        append_metrics(tmp_path / output_files.METRICS, step(number))
    for number, saved in ((1, 100.0), (10, 300.0), (2, 200.0)):
        folder = tmp_path / output_files.CHECKPOINTS / f"step-{number:08d}"
        folder.mkdir(parents=True)
        os.utime(folder, (saved, saved))
    found = reached(tmp_path)
    assert found.step is not None
    assert (found.step.step, found.saved_at) == (2, 300.0)


def test_a_checkpoint_is_as_old_as_its_step(tmp_path: Path) -> None:
    """It got its name later: writing takes minutes, in which the run went on."""
    for number, taken in ((1, 50.0), (2, 60.0), (3, 70.0)):
        event = step(number).model_copy(update={"time": taken})
        append_metrics(tmp_path / output_files.METRICS, event)
    folder = tmp_path / output_files.CHECKPOINTS / "step-00000002"
    folder.mkdir(parents=True)
    os.utime(folder, (75.0, 75.0))
    assert reached(tmp_path).saved_at == 60.0


def test_what_cannot_be_read_is_not_known(tmp_path: Path) -> None:
    (tmp_path / output_files.METRICS).mkdir()
    (tmp_path / output_files.CHECKPOINTS).write_text("no folder")
    found = reached(tmp_path)
    assert (found.step, found.saved_at) == (None, None)
