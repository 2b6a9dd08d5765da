from pathlib import Path

import pytest
from PIL import Image

from qinstruct_trainer.train.metrics.loss_curve import draw_loss_curve, moving_average
from qinstruct_trainer.train.metrics.metrics_file import append_metrics
from support.training_steps import step_event


def test_the_curve_is_a_picture_even_of_a_single_step(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    append_metrics(path, step_event(1))
    draw_loss_curve(path, tmp_path / "loss.png")
    with Image.open(tmp_path / "loss.png") as picture:
        assert picture.format == "PNG"


@pytest.mark.parametrize(
    ("window", "averages"),
    [(1, [4.0, 2.0, 0.0, 6.0]), (2, [4.0, 3.0, 1.0, 3.0]), (9, [4.0, 3.0, 2.0, 3.0])],
)
def test_a_moving_average_covers_as_many_values_as_there_are(
    window: int, averages: list[float]
) -> None:
    assert moving_average([4.0, 2.0, 0.0, 6.0], window) == averages
