"""The tables of docs/status.md, as data."""

from collections import defaultdict

from support.operator_documents import ROOT

TEXT = (ROOT / "docs" / "status.md").read_text("utf-8")

Rows = list[dict[str, str]]


def tables() -> dict[str, Rows]:
    """The rows below each heading, each cell by the head of its column."""
    found: dict[str, list[list[str]]] = defaultdict(list)
    heading = ""
    for line in TEXT.splitlines():
        if line.startswith("#"):
            heading = line.lstrip("# ")
        elif line.startswith("|"):
            found[heading].append([cell.strip() for cell in line.strip("|").split("|")])
    return {
        heading: [dict(zip(head, row, strict=True)) for row in rows]
        for heading, (head, _, *rows) in found.items()
    }
