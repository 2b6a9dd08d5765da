"""metrics.jsonl: one step event a line, also over restarts."""

from pathlib import Path

from qinstruct_trainer.contract.events import Step, parse_line
from qinstruct_trainer.durable_files import write_durably


def truncate_metrics(path: Path, step: int) -> None:
    """Keep the steps up to `step`, so that a resumed run writes no step twice."""
    kept = [event for event in read_steps(path) if event.step <= step]
    write_durably(path, "".join(f"{event.model_dump_json()}\n" for event in kept))


def append_metrics(path: Path, event: Step) -> None:
    """Add a step."""
    with path.open("a", encoding="utf-8") as file:
        file.write(event.model_dump_json() + "\n")


def read_steps(path: Path) -> list[Step]:
    """The steps in a metrics file; a line cut by a crash is left out."""
    if not path.exists():
        return []
    lines = path.read_text("utf-8", errors="replace").splitlines()
    return [event for line in lines if isinstance(event := parse_line(line, None), Step)]
