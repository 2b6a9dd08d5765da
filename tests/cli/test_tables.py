"""Tables as they are printed."""

import io

from rich.console import Console
from rich.text import Text

from qinstruct_operator.cli.tables import print_section, print_table, table


def console() -> tuple[Console, io.StringIO]:
    stream = io.StringIO()
    return Console(file=stream, width=40), stream


def printed(stream: io.StringIO) -> list[str]:
    return [line.rstrip() for line in stream.getvalue().splitlines()]


def test_a_section_has_no_header() -> None:
    out, stream = console()
    print_section(out, "Disk", [("cache", "1 GB"), ("shared output", "2 GB")])
    assert printed(stream) == ["", "Disk", "cache          1 GB", "shared output  2 GB"]


def test_a_table_has_its_columns_names() -> None:
    out, stream = console()
    print_table(out, "Data", ("name", "size"), [("labels", "1 GB")])
    assert printed(stream) == ["", "Data", "name    size", "labels  1 GB"]


def test_text_is_not_read_as_markup() -> None:
    out, stream = console()
    out.print(table(("a", "b"), [("[red]x[/red]", Text("[y]", style="green"))]))
    assert printed(stream)[1:] == ["[red]x[/red]  [y]"]


def test_long_text_is_folded_and_never_cut() -> None:
    out, stream = console()
    out.print(table(("a",), [("x" * 100,)]))
    assert stream.getvalue().count("x") == 100
