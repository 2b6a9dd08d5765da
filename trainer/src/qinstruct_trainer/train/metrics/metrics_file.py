"""metrics.jsonl: one step event a line, also over restarts."""

from pathlib import Path

from qinstruct_trainer.contract.errors import StorageError
from qinstruct_trainer.contract.events import Step, parse_line
from qinstruct_trainer.durable_files import append_to, read_bounded, write_durably

_MAX_BYTES = 256 << 20  # of a million steps


def truncate_metrics(path: Path, step: int) -> None:
    """Keep the steps up to `step`, so that a resumed run writes no step twice."""
    kept = [event for event in read_steps(path) if event.step <= step]
    write_durably(path, "".join(f"{event.model_dump_json()}\n" for event in kept))


def append_metrics(path: Path, event: Step) -> None:
    """Add a step."""
    with append_to(path) as file:
        file.write(event.model_dump_json().encode() + b"\n")


def read_steps(path: Path) -> list[Step]:
    """The steps in a metrics file; a line cut by a crash is left out.

    Raises:
        StorageError: it cannot be read, or is no plain file.
    """
    try:
        content = read_bounded(path, _MAX_BYTES)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise StorageError(
            f"{path} cannot be read: {error.strerror}; move it away, then run again"
        ) from error
    lines = content.decode("utf-8", errors="replace").splitlines()
    return [event for line in lines if isinstance(event := parse_line(line, None), Step)]
