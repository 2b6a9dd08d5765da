"""The merged records are those of `jq -s add`, each as it is written in its source."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from qinstruct_trainer.contract.events import Event, PrepProgress, Quantity, Stage
from qinstruct_trainer.prep.gate import RecordFile, inspect_records
from qinstruct_trainer.prep.merge import merge, read_records
from qinstruct_trainer.prep.progress import Progress, Report
from support.prep.examine import examine_in

QUIET: tuple[Report, Stage, str, Quantity] = (lambda _: None, "merge", "records", "records")
TURNS = '"conversations": [{"from": "human", "value": "ü b"}]'


def write(path: Path, records: list[str]) -> RecordFile:
    path.write_text("[" + ",\r\n".join(records) + "]", "utf-8", newline="")
    return RecordFile(source=path.stem, path=path)


def merged(folder: Path, *files: RecordFile) -> Path:
    progress = Progress(*QUIET)
    report = inspect_records(files, folder / "lines", examine_in())
    merge(folder / "lines", report, folder / "records.jsonl", progress)
    assert progress.done == progress.total == report.num_records - len(report.bad)
    return folder / "records.jsonl"


@pytest.mark.skipif(shutil.which("jq") is None, reason="jq is not installed")
def test_merge_equals_jq(tmp_path: Path) -> None:
    first, second = (
        write(tmp_path / f"{name}.json", [f'{{"id": "{name} {n}", {TURNS}}}' for n in range(5)])
        for name in ("first", "second")
    )
    path = merged(tmp_path, first, second)
    command = ["jq", "-s", "add", str(first.path), str(second.path)]
    expected = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    assert [json.loads(line) for line in path.read_text("utf-8").splitlines()] == expected


@pytest.mark.parametrize("bad", [[], [2], [0], [4], [0, 1, 2, 3]], ids=str)
def test_all_good_records_of_all_files_are_there_in_order(tmp_path: Path, bad: list[int]) -> None:
    records = [f'{{"id": "{n}", {TURNS}}}' for n in range(5)]
    files = [
        write(tmp_path / f"{name}.json", ["0" if n in bad else r for n, r in enumerate(records)])
        for name in ("first", "second", "third")
    ]
    kept = [record for n, record in enumerate(records) if n not in bad]
    assert merged(tmp_path, *files).read_text("utf-8").splitlines() == kept * 3


@pytest.mark.parametrize("bad", [[], ["null"]])
def test_progress_begins_at_the_first_record_and_ends_at_the_last_good_one(
    tmp_path: Path, bad: list[str]
) -> None:
    records = [f'{{"id": "{n}", {TURNS}}}' for n in range(5)]
    file = write(tmp_path / "labels.json", records + bad)
    report = inspect_records([file], tmp_path / "lines", examine_in())
    events: list[Event] = []
    progress = Progress(events.append, "merge", "records", "records")
    merge(tmp_path / "lines", report, tmp_path / "records.jsonl", progress)
    done = [event.done for event in events if isinstance(event, PrepProgress)]
    assert (done[0], done[-1], progress.total) == (1, 5, 5)


@pytest.mark.parametrize("bad", [[], ["null"]])
def test_merge_keeps_numbers_as_written(tmp_path: Path, bad: list[str]) -> None:
    records = [f'{{"id": {number}, {TURNS}}}' for number in ("1.10", "12345678901234567890", "1E2")]
    path = merged(tmp_path, write(tmp_path / "labels.json", records + bad))
    assert path.read_text("utf-8").splitlines() == records


def test_a_bad_record_is_left_out_of_its_own_source(tmp_path: Path) -> None:
    first = write(tmp_path / "first.json", [f'{{"id": "a", {TURNS}}}', "[]"])
    second = write(tmp_path / "second.json", ["3", f'{{"id": "b", {TURNS}}}', f"{{{TURNS}}}"])
    records = list(read_records(merged(tmp_path, first, second)))
    assert [record.id for record in records] == ["a", "b", "2"]
