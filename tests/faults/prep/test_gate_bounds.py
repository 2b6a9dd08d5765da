"""Label files that are small and make a large report, or much memory, or a fault of the storage."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from qinstruct_trainer.contract.errors import DataError
from qinstruct_trainer.prep.gate import GateReport, RecordFile, apply_policy, inspect_records
from qinstruct_trainer.prep.merge import merge
from qinstruct_trainer.prep.progress import Progress
from support.prep.examine import examine_in

TURNS = '"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]'
INSPECT = """
import resource, sys
from pathlib import Path
resource.setrlimit(resource.RLIMIT_AS, (int(sys.argv[2]), int(sys.argv[2])))
from qinstruct_trainer.contract.errors import DataError
from qinstruct_trainer.prep.gate import RecordFile, inspect_records
from qinstruct_trainer.prep.images import Findings, missing_faults
path = Path(sys.argv[1])
def examine(images):
    return Findings(missing_faults(images, [path.parent]), ())
try:
    report = inspect_records(
        [RecordFile(source="labels", path=path)], path.with_name("lines"), examine
    )
except DataError as error:
    sys.exit(f"refused: {error}")
path.with_name("report.json").write_text(report.model_dump_json(indent=2))
"""


def inspect(path: Path, memory: int) -> subprocess.CompletedProcess[str]:
    """In a process that may use little memory; imports take 150 MB of it."""
    return subprocess.run(
        [sys.executable, "-c", INSPECT, str(path), str(memory)],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    "record",
    ["0", "[]", f'{{"image": "x.jpg", {TURNS}}}', f'{{"image": "{"a" * 300}.jpg", {TURNS}}}'],
    ids=["zeros", "lists", "no such image", "long names"],
)
def test_a_report_of_many_faults_stays_small_and_says_how_many(record: str, tmp_path: Path) -> None:
    path = tmp_path / "labels.json"
    path.write_text(f"[{','.join([record] * 50_000)}]")
    child = inspect(path, memory=300 << 20)
    assert (child.returncode, child.stderr) == (0, "")
    written = tmp_path / "report.json"
    assert written.stat().st_size < 2 << 20
    report = GateReport.model_validate_json(written.read_bytes())
    assert (report.num_records, report.num_bad, len(report.bad)) == (50_000, 50_000, 1000)
    with pytest.raises(DataError, match=r"no record is usable of 50000; .*; see /report"):
        apply_policy(report, "Drop", 50_000, Path("/report"))


def test_what_the_report_does_not_list_is_dropped_all_the_same(tmp_path: Path) -> None:
    good = f"{{{TURNS}}}"
    records = [good if number % 3 else "0" for number in range(9_000)]
    path = tmp_path / "labels.json"
    path.write_text(f"[{','.join(records)}]")
    progress = Progress(lambda _: None, "gate", "records", "files")
    lines = tmp_path / "lines"
    file = RecordFile(source="labels", path=path)
    report = inspect_records([file], lines, examine_in(tmp_path))
    assert (report.num_bad, len(report.bad)) == (3_000, 1_000)
    assert [bad.index for bad in report.bad] == list(range(0, 3_000, 3))
    with pytest.raises(DataError, match=r"3000 of 9000 .*/report lists the first 1000 and the num"):
        apply_policy(report, "Drop", 2_999, Path("/report"))
    apply_policy(report, "Drop", 3_000, Path("/report"))
    again = GateReport.model_validate_json(report.model_dump_json())
    merge(lines, again, tmp_path / "merged", progress)
    assert (tmp_path / "merged").read_text().splitlines() == [good] * 6_000


@pytest.mark.parametrize(
    "name",
    ["a" * 300 + ".jpg", "ä" * 140 + ".jpg", "/".join(["a" * 200] * 20), "a/" * 600 + "b.jpg"],
    ids=["long", "long in bytes", "long path", "deep"],
)
def test_a_name_that_no_file_can_have_is_a_bad_record_and_no_fault_of_the_storage(
    name: str, tmp_path: Path
) -> None:
    path = tmp_path / "labels.json"
    path.write_text(f'[{{"image": {json.dumps(name)}, {TURNS}}}, {{{TURNS}}}]')
    file = RecordFile(source="labels", path=path)
    report = inspect_records([file], tmp_path / "lines", examine_in(tmp_path))
    assert [bad.index for bad in report.bad] == [0]
    assert "longer than any file's name" in report.bad[0].reason
    assert len(report.bad[0].reason) < 500


@pytest.mark.parametrize("element", ["[],", "0,", '"",'])
def test_a_record_that_is_a_bomb_is_refused(element: str, tmp_path: Path) -> None:
    path = tmp_path / "labels.json"
    path.write_text(f"[[{element * (40_000_000 // len(element))}0]]")
    child = inspect(path, memory=400 << 20)
    assert child.stderr.startswith("refused: labels, record 0: ")
