"""One HTML file of a summary: tables, histograms, and a sheet of random records with pictures.

Records are hostile: whatever they say is escaped, and the page's policy lets a browser load, run
and send nothing at all but the pictures that are in the page itself.
"""

import base64
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

from qinstruct_trainer.contract.safe_text import printable
from qinstruct_trainer.contract.summary import SummaryTable
from qinstruct_trainer.data.images import Picture
from qinstruct_trainer.data.records import Record
from qinstruct_trainer.report.read import Row

_POLICY: Final = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; form-action 'none'; "
    "base-uri 'none'"
)
_MAX_TURNS: Final = 12
_MAX_TEXT: Final = 2000
_BAR_WIDTH: Final = 300
_ROW_HEIGHT: Final = 18
GENERATOR: Final = '<meta name="generator" content="qinstruct data">'
"""In the first bytes of each page, by which it may be written over."""
_STYLE: Final = """
body { font: 14px sans-serif; margin: 2em; max-width: 75em; color: #222; background: #fff }
table { border-collapse: collapse; margin-bottom: 1.5em } td, th { padding: .15em .8em .15em 0;
text-align: left; vertical-align: top } th { color: #777; font-weight: normal }
.sheet { display: grid; grid-template-columns: repeat(auto-fill, minmax(20em, 1fr)); gap: 1em }
.card { border: 1px solid #ddd; padding: .8em; overflow-wrap: anywhere }
.card img { max-width: 100% } .human { color: #246 } .note { color: #777 } .bad { color: #a00 }
p { margin: .4em 0; white-space: pre-wrap }
"""


@dataclass(frozen=True)
class Histogram:
    """Counts of bins, for a picture."""

    title: str
    bins: Sequence[tuple[str, int]]


def page_of(
    name: str,
    tables: Iterable[SummaryTable],
    histograms: Iterable[Histogram],
    sample: Sequence[Row],
    pictures: Mapping[str, Picture | str],
) -> str:
    """The whole page.

    Args:
        name: Of the data.
        tables: What was counted.
        histograms: What was counted, drawn.
        sample: Records to show.
        pictures: By image: its thumbnail, or why there is none.
    """
    body = [
        f"<h1>{_text(name)}</h1>",
        *(_table(table) for table in tables),
        *(_svg(histogram) for histogram in histograms if histogram.bins),
        f"<h2>{len(sample)} random records</h2>",
        '<div class="sheet">',
        *(_card(row, pictures) for row in sample),
        "</div>",
    ]
    head = (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">{GENERATOR}\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        f"<title>{_text(name)}</title><style>{_STYLE}</style></head><body>\n"
    )
    return head + "\n".join(body) + "\n</body></html>\n"


def _table(table: SummaryTable) -> str:
    head = "".join(f"<th>{_text(column)}</th>" for column in table.columns)
    rows = "\n".join(
        "<tr>" + "".join(f"<td>{_text(cell)}</td>" for cell in row) + "</tr>" for row in table.rows
    )
    return f"<h2>{_text(table.title)}</h2>\n<table><tr>{head}</tr>\n{rows}\n</table>"


def _svg(histogram: Histogram) -> str:
    most = max(1, *(count for _, count in histogram.bins))
    height = _ROW_HEIGHT * len(histogram.bins)
    bars = "\n".join(_bars(histogram.bins, most))
    return (
        f"<h2>{_text(histogram.title)}</h2>\n"
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_BAR_WIDTH + 200}" height="{height}" '
        f'font-size="12">\n{bars}\n</svg>'
    )


def _bars(bins: Sequence[tuple[str, int]], most: int) -> Iterator[str]:
    for number, (name, count) in enumerate(bins):
        top, width = number * _ROW_HEIGHT, _BAR_WIDTH * count / most
        yield (
            f'<text x="90" y="{top + 13}" text-anchor="end">{_text(name)}</text>'
            f'<rect x="100" y="{top + 2}" width="{width:.1f}" height="{_ROW_HEIGHT - 4}" '
            f'fill="#69c"/><text x="{105 + width:.1f}" y="{top + 13}">{count:,}</text>'
        )


def _card(row: Row, pictures: Mapping[str, Picture | str]) -> str:
    assert isinstance(row.record, Record)  # only good ones are drawn
    record = row.record
    parts = [f'<p class="note">{_text(row.source)}, record {row.number}, id {_text(record.id)}</p>']
    if record.image is not None:
        parts.append(_picture(record.image, pictures.get(record.image, "not looked for")))
    for turn in record.turns[:_MAX_TURNS]:
        parts.append(f'<p class="{turn.speaker}">{_text(turn.text)}</p>')
    if len(record.turns) > _MAX_TURNS:
        parts.append(f'<p class="note">{len(record.turns) - _MAX_TURNS} more turns</p>')
    return f'<div class="card">{"".join(parts)}</div>'


def _picture(name: str, picture: Picture | str) -> str:
    if isinstance(picture, str):
        return f'<p class="bad">{_text(name)}: {_text(picture)}</p>'
    data = base64.b64encode(picture.thumbnail).decode()
    size = f"{picture.width} x {picture.height} {picture.format}"
    return (
        f'<img alt="" src="data:image/jpeg;base64,{data}">'
        f'<p class="note">{_text(name)}, {_text(size)}</p>'
    )


def _text(text: str) -> str:
    """Escaped, cut, and without characters that turn or hide what is around them."""
    lines = text[:_MAX_TEXT].splitlines()
    plain = "\n".join(printable(line) for line in lines)
    return escape(plain.encode("utf-8", "replace").decode()) + (
        " ..." if len(text) > _MAX_TEXT else ""
    )
