"""metrics.jsonl, one step event a line, and the loss curve drawn from it."""

from collections import deque
from pathlib import Path
from statistics import median

from qinstruct_trainer.contract.events import Step, parse_line
from qinstruct_trainer.durable_files import write_durably

_ETA_WINDOW = 50  # steps whose median stands for the speed


def truncate_metrics(path: Path, step: int) -> None:
    """Leave exactly the steps up to `step`, so that a resume writes no step twice."""
    kept = [event for event in read_steps(path) if event.step <= step]
    write_durably(path, "".join(f"{event.model_dump_json()}\n" for event in kept))


def append_metrics(path: Path, event: Step) -> None:
    """Add a step."""
    with path.open("a", encoding="utf-8") as file:
        file.write(event.model_dump_json() + "\n")


class StepTimer:
    """Estimates the remaining time from the median of recent steps."""

    def __init__(self) -> None:
        self._seconds: deque[float] = deque(maxlen=_ETA_WINDOW)

    def eta(self, step_seconds: float, remaining_steps: int) -> float:
        """Note a step's duration; seconds until the last step is done."""
        self._seconds.append(step_seconds)
        return median(self._seconds) * remaining_steps


def read_steps(path: Path) -> list[Step]:
    """The steps in a metrics file; a line cut by a crash is left out."""
    if not path.exists():
        return []
    lines = path.read_text("utf-8", errors="replace").splitlines()
    return [event for line in lines if isinstance(event := parse_line(line), Step)]


def draw_loss_curve(metrics: Path, picture: Path) -> None:
    """Draw loss (and its running mean) over the steps as a PNG."""
    import matplotlib as mpl  # needed once, at the end

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    steps = read_steps(metrics)
    numbers = [event.step for event in steps]
    losses = [event.loss for event in steps]
    window = max(1, len(losses) // 40)
    smooth = [
        sum(losses[max(0, i - window + 1) : i + 1]) / min(i + 1, window) for i in range(len(losses))
    ]
    figure, axes = plt.subplots(figsize=(8, 4.5), dpi=120)
    axes.plot(numbers, losses, color="tab:blue", alpha=0.3, linewidth=0.8, label="loss")
    axes.plot(numbers, smooth, color="tab:blue", linewidth=1.8, label=f"mean of {window} steps")
    axes.set_xlabel("optimizer step")
    axes.set_ylabel("mean loss per supervised token (nats)")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.tight_layout()
    figure.savefig(picture)
    plt.close(figure)
