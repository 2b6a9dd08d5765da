"""Print the result of a complete local run: accuracy, some answers, and where the files are."""

from pydantic import ValidationError
from rich.console import Console
from rich.table import Table
from rich.text import Text

from qinstruct_operator.cli.local.folder import RunFolder
from qinstruct_operator.cli.terminal import sanitize
from qinstruct_trainer.contract.events import Evaluated, Evaluation

_NUM_EXAMPLES = 6


def show_result(console: Console, folder: RunFolder, *, already: bool) -> None:
    """Print accuracy, some answers and the paths of a complete run.

    Args:
        console: Where to print.
        folder: The run's folder.
        already: The run was complete before this command began.
    """
    if already:
        _line(console, f"this run is already complete: {folder.root}")
    found = _read(folder)
    if found is not None:
        console.print(_accuracy(found))
        console.print(_answers(found.trained))
    for name, path in (
        ("model", folder.model),
        ("loss curve", folder.loss_curve),
        ("evaluation", folder.evaluation),
        ("logs", folder.logs),
    ):
        if path.exists():
            _line(console, f"{name:<11} {path}")


def _read(folder: RunFolder) -> Evaluation | None:
    """The evaluation; None for a run without held-out questions, which has no such file."""
    try:
        return Evaluation.model_validate_json(folder.evaluation.read_bytes())
    except (OSError, ValidationError):
        return None


def _accuracy(found: Evaluation) -> Table:
    trained, untrained = found.trained, found.untrained
    table = Table(title=f"Accuracy on {trained.questions} held-out questions")
    table.add_column("kind of question")
    for name in ("trained", "untrained", "majority answer"):
        table.add_column(name, justify="right")
    for kind, accuracy in trained.by_kind.items():
        others = untrained.by_kind.get(kind), trained.majority_by_kind.get(kind)
        table.add_row(Text(sanitize(kind)), _percent(accuracy), *map(_percent, others))
    table.add_section()
    table.add_row(
        "all",
        _percent(trained.accuracy),
        _percent(untrained.accuracy),
        _percent(trained.majority),
    )
    return table


def _answers(trained: Evaluated) -> Table:
    table = Table(title="What the trained model says about pictures it has not seen")
    for name in ("picture", "question", "expected", "answered"):
        table.add_column(name, overflow="fold")
    for answer in trained.examples[:_NUM_EXAMPLES]:
        cells = (answer.image, answer.question, answer.expected, answer.answered)
        table.add_row(*(Text(sanitize(cell)) for cell in cells))
    return table


def _percent(fraction: float | None) -> str:
    return "" if fraction is None else f"{fraction:.1%}"


def _line(console: Console, text: str) -> None:
    """Print one line without wrapping it, so that a path can be copied."""
    console.print(Text(text), soft_wrap=True)
