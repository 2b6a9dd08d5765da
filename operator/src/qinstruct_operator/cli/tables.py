"""Tables without lines, which read the same on a terminal, in a file and in a mail."""

from collections.abc import Iterable

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text


def table(columns: Iterable[str], rows: Iterable[tuple[str | Text, ...]]) -> Table:
    """Rows below the names of their columns, if there are any; text is never read as markup."""
    names = tuple(columns)
    made = Table(box=None, show_header=bool(names), pad_edge=False, padding=(0, 2, 0, 0))
    for name in names:
        made.add_column(name, overflow="fold", header_style="dim")
    for row in rows:
        made.add_row(*(cell if isinstance(cell, Text) else Text(cell) for cell in row))
    return made


def titled(title: str, content: RenderableType) -> Group:
    """Something below its title, with an empty line above."""
    return Group(Text(f"\n{title}", style="bold"), content)


def print_section(console: Console, title: str, rows: Iterable[tuple[str, str]]) -> None:
    """Print named values below a title."""
    console.print(titled(title, table((), rows)))


def print_table(
    console: Console, title: str, columns: Iterable[str], rows: Iterable[tuple[str, ...]]
) -> None:
    """Print a table below its title."""
    console.print(titled(title, table(columns, rows)))
