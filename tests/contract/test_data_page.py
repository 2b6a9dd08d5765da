"""docs/data.md has the table of sources as the code has it, and its runs are accepted."""

import re
import shlex
from pathlib import Path
from typing import Final

import pytest
import yaml

from qinstruct_operator.api.parse import parse
from qinstruct_operator.catalog.sources import SOURCES, PublishedSource
from qinstruct_operator.cli import main
from qinstruct_operator.cli.humanize import size_text
from qinstruct_trainer.contract.errors import EXIT_OK
from support.cache.units import IMAGES, LABELS, make, make_merged
from support.readme import ROOT
from support.report import RECORDS, write_labels, write_prepared

PAGE: Final = (ROOT / "docs/data.md").read_text("utf-8")
ROWS: Final = [
    [cell.strip().strip("`") for cell in line.strip("|").split("|")]
    for line in re.findall(r"^\| `.*$", PAGE.split("## OCR-VQA")[0], re.MULTILINE)
]
COMMANDS: Final = [
    shlex.split(line, comments=True)[1:]
    for block in re.findall(r"```shell\n(.*?)```", PAGE, re.DOTALL)
    for line in block.splitlines()
    if re.search("qinstruct (cache|data)", line)
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


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_command_that_the_page_shows_works(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path / "runs/cache", LABELS, IMAGES)
    make_merged(tmp_path / "runs/cache", RECORDS)
    write_labels(tmp_path / "cleaned_labels.json", RECORDS)
    write_prepared(tmp_path).rename(tmp_path / "runs/run-13b-after")
    monkeypatch.chdir(tmp_path)
    assert main(command) == EXIT_OK


def test_the_page_has_every_command_of_a_cache() -> None:
    shown = {command[1] for command in COMMANDS if command[0] == "cache"}
    assert shown == {"ls", "verify", "prune", "export", "job"}
