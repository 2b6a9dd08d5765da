"""metrics.jsonl over restarts, and the loss curve."""

from pathlib import Path

from PIL import Image

from qinstruct_trainer.contract.events import Step
from qinstruct_trainer.train.metrics.metrics_file import (
    StepTimer,
    append_metrics,
    draw_loss_curve,
    read_steps,
    truncate_metrics,
)


def _step(number: int) -> Step:
    return Step(
        step=number,
        steps=10,
        loss=1.0 / number,
        learning_rate=1e-3,
        gradient_norm=1.0,
        tokens=10,
        seconds=0.1,
        samples_per_second=1.0,
        tokens_per_second=1.0,
        eta_seconds=1.0,
        memory_bytes=1,
    )


def test_a_resume_leaves_exactly_the_steps_that_the_checkpoint_has(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    truncate_metrics(path, 0)
    for number in range(1, 6):
        append_metrics(path, _step(number))
    with path.open("a") as file:
        file.write('{"v":1,"event":"step","st')  # a crash cut this line
    truncate_metrics(path, 3)
    append_metrics(path, _step(4))
    assert [step.step for step in read_steps(path)] == [1, 2, 3, 4]


def test_the_curve_is_a_picture_even_of_a_single_step(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    append_metrics(path, _step(1))
    draw_loss_curve(path, tmp_path / "loss.png")
    with Image.open(tmp_path / "loss.png") as picture:
        assert picture.format == "PNG"


def test_the_remaining_time_is_the_median_step_times_the_steps_left() -> None:
    timer = StepTimer()
    assert timer.eta(9.0, 3) == 27.0  # the first step is slow
    timer.eta(1.0, 2)
    assert timer.eta(1.0, 1) == 1.0
