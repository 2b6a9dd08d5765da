"""The gate: malformed records, missing or broken images, and what a policy allows of them."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from qinstruct_trainer.contract.errors import DataError
from qinstruct_trainer.prep.extract import extract
from qinstruct_trainer.prep.gate import GateReport, RecordFile, apply_policy, inspect_records
from qinstruct_trainer.prep.merge import merge
from support.prep.examine import examine_in
from support.prep.gate_progress import progress
from support.prep.miniature import Miniature, write_miniature


def write(path: Path, text: str) -> RecordFile:
    path.write_text(text, "utf-8", newline="")
    return RecordFile(source=path.stem, path=path)


def lines_of(path: Path) -> list[object]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def check(file: RecordFile, roots: list[Path]) -> GateReport:
    return inspect_records([file], file.path.with_name("lines"), examine_in(*roots))


@pytest.fixture
def miniature(tmp_path: Path) -> Miniature:
    made = write_miniature(tmp_path / "miniature")
    extract(made.archive, "images", tmp_path / "images", progress())
    return made


def test_good_data_passes(miniature: Miniature, tmp_path: Path) -> None:
    labels = RecordFile(source="labels", path=miniature.labels, published=36)
    report = check(labels, [tmp_path / "images"])
    assert (report.num_records, report.images, report.bad) == (36, 12, ())
    assert list(report.warnings()) == []
    apply_policy(report, "Fail", 0, tmp_path)


def test_a_label_file_that_is_no_array_is_named_by_its_source(tmp_path: Path) -> None:
    sentence = (
        r"^labels, record 0: the file is a JSON object, not a JSON array; correct the "
        r"file or set data\.sources\.labels\.url to a good copy$"
    )
    with pytest.raises(DataError, match=sentence):
        check(write(tmp_path / "labels.json", "{}"), [])


def test_images_of_16_bits_are_counted_in_a_warning(miniature: Miniature, tmp_path: Path) -> None:
    image = tmp_path / "images" / str(miniature.records[3]["image"])
    Image.fromarray(np.full((20, 30), 40_000, np.uint16)).save(image, "PNG")
    report = check(RecordFile(source="labels", path=miniature.labels), [tmp_path / "images"])
    assert (report.num_bad, report.destroyed) == (0, 1)
    (warning,) = report.warnings()
    name = miniature.records[3]["image"]
    assert warning.startswith(f"1 images, the first is {name}, have 16 bits or floating-point")


def test_count_that_differs_is_a_warning(miniature: Miniature, tmp_path: Path) -> None:
    labels = RecordFile(source="labels", path=miniature.labels, published=200_534)
    report = check(labels, [tmp_path / "images"])
    assert list(report.warnings()) == ["labels has 36 records, 200,534 were published"]


@pytest.mark.parametrize("harm", ["missing", "truncated", "text", "empty"])
def test_bad_image_fails_or_is_dropped(miniature: Miniature, tmp_path: Path, harm: str) -> None:
    image = tmp_path / "images" / str(miniature.records[3]["image"])
    if harm == "missing":
        image.unlink()
    elif harm == "truncated":
        image.write_bytes(image.read_bytes()[:-200])
    else:
        image.write_bytes(b"no image" if harm == "text" else b"")
    labels = RecordFile(source="labels", path=miniature.labels)
    report = check(labels, [tmp_path / "images"])
    assert [bad.index for bad in report.bad] == [3, 4, 5]
    for policy, most in (("Fail", 0), ("Fail", 5), ("Drop", 2)):
        with pytest.raises(DataError, match=rf"3 of 36 .*{image.name}.*/report"):
            apply_policy(report, policy, most, Path("/report"))  # type: ignore[arg-type]
    apply_policy(report, "Drop", 3, tmp_path)
    merge(labels.path.with_name("lines"), report, tmp_path / "records.jsonl", progress())
    kept = lines_of(tmp_path / "records.jsonl")
    assert kept == [r for n, r in enumerate(miniature.records) if n not in {3, 4, 5}]


@pytest.mark.parametrize(
    "record",
    [
        "null",
        "[]",
        '"text"',
        '{"id": "x"}',
        '{"id": "x", "conversations": [{"from": "human", "value": " "}]}',
        '{"id": "x", "conversations": [{"from": "robot", "value": "hello"}]}',
        '{"id": "x", "image": "../x", "conversations": [{"from": "human", "value": "hello"}]}',
        '{"id": "\\ud800", "image": 3, "conversations": [{"from": "human", "value": "hello"}]}',
    ],
)
def test_malformed_record_is_found(tmp_path: Path, record: str) -> None:
    good = '{"id": "y", "conversations": [{"from": "human", "value": "hello"}]}'
    report = check(write(tmp_path / "labels.json", f"[{good}, {record}]"), [])
    assert [bad.index for bad in report.bad] == [1]
    assert GateReport.model_validate_json(report.model_dump_json()) == report
    with pytest.raises(DataError, match="1 of 2 records"):
        apply_policy(report, "Fail", 0, tmp_path)


def test_nothing_usable_is_refused_under_any_policy(tmp_path: Path) -> None:
    report = check(write(tmp_path / "labels.json", "[1, 2]"), [])
    with pytest.raises(DataError, match="no record is usable"):
        apply_policy(report, "Drop", 100, tmp_path)
