"""`qinstruct data FILE`: start the report, and print its tables."""

from pathlib import Path

from rich.console import Console

from qinstruct_operator.cli.tables import print_table
from qinstruct_operator.cli.terminal import sanitize
from qinstruct_operator.cli.trainer import ask_trainer, interpreter
from qinstruct_trainer.contract.launch import data_command
from qinstruct_trainer.contract.summary import DataSummary

_MAX_CELL = 100


def report_data(
    console: Console, file: Path, output: Path, images: Path | None, *, seed: int, samples: int
) -> None:
    """Write the page and print what it says in tables.

    Args:
        console: Where to draw.
        file: Labels, an output folder or its prepared.json, or an index.
        output: The page.
        images: Folder that the images of a label file are below.
        seed: Of the random records.
        samples: How many of them.
    """
    arguments = [f"--output={output}", f"--seed={seed}", f"--samples={samples}"]
    folder = [f"--images={images}"] if images is not None else []
    command = data_command(interpreter(), [str(file.absolute()), *arguments, *folder])
    found = ask_trainer(command, DataSummary)
    for table in found.tables:
        rows = (tuple(_cell(cell) for cell in row) for row in table.rows)
        print_table(console, sanitize(table.title), table.columns, rows)
    console.print(f"\nthe page: {sanitize(found.page)}", markup=False, soft_wrap=True)


def _cell(text: str) -> str:
    plain = sanitize(" ".join(text.split()))
    return plain if len(plain) <= _MAX_CELL else f"{plain[: _MAX_CELL - 3]}..."
