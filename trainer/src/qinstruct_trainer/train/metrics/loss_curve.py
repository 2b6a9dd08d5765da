"""loss.png: the loss over the steps with its moving average."""

import os
from collections.abc import Sequence
from pathlib import Path

from qinstruct_trainer.train.metrics.metrics_file import read_steps


def draw_loss_curve(metrics: Path, picture: Path) -> None:
    """Draw the losses of a metrics file as a PNG."""
    os.environ["MPLBACKEND"] = "agg"  # what a user set may be none that is there
    from matplotlib import pyplot as plt  # needed once, at the end

    steps = read_steps(metrics)
    numbers = [event.step for event in steps]
    losses = [event.loss for event in steps]
    window = max(1, len(losses) // 40)
    figure, axes = plt.subplots(figsize=(8, 4.5), dpi=120)
    axes.plot(numbers, losses, color="tab:blue", alpha=0.3, linewidth=0.8, label="loss")
    axes.plot(
        numbers,
        moving_average(losses, window),
        color="tab:blue",
        linewidth=1.8,
        label=f"mean of {window} steps",
    )
    axes.set_xlabel("optimizer step")
    axes.set_ylabel("mean loss per supervised token (nats)")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.tight_layout()
    figure.savefig(picture)
    plt.close(figure)


def moving_average(values: Sequence[float], window: int) -> list[float]:
    """The mean of each value and the `window - 1` values before it, as far as there are any."""
    return [
        sum(values[max(0, i - window + 1) : i + 1]) / min(i + 1, window) for i in range(len(values))
    ]
