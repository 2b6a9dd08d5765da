"""docs/data.md has the table of sources as the code has it, and its runs are accepted."""

import re
from typing import Final

import pytest
import yaml

from qinstruct_operator.api.parse import parse
from qinstruct_operator.catalog.sources import SOURCES, PublishedSource
from qinstruct_operator.cli.humanize import size_text
from support.readme import ROOT

PAGE: Final = (ROOT / "docs/data.md").read_text("utf-8")
ROWS: Final = [
    [cell.strip().strip("`") for cell in line.strip("|").split("|")]
    for line in re.findall(r"^\| `.*$", PAGE.split("## OCR-VQA")[0], re.MULTILINE)
]
RUNS: Final = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)


def row(name: str, source: PublishedSource) -> list[str]:
    is_labels = source.kind == "labels"
    what = f"labels, {source.num_records:,} records" if is_labels else "images"
    into = "" if is_labels else source.into or "."
    return [
        name,
        what,
        ", ".join(source.strategies),
        into,
        size_text(source.num_bytes or 0),
        source.url,
    ]


def test_the_table_is_that_of_the_code() -> None:
    assert [*ROWS] == [row(name, source) for name, source in SOURCES.items()]


@pytest.mark.parametrize("text", RUNS)
def test_a_run_that_the_page_shows_is_accepted(text: str) -> None:
    document = yaml.safe_load(text)
    strategy = "mix" if "ocr-vqa" in text else "after"
    document["spec"] |= {"size": "7B", "strategy": strategy}
    document |= {"apiVersion": "qinstruct.dev/v1alpha1", "kind": "QInstructTraining"}
    document["metadata"] = {"name": "run"}
    parse(document)
