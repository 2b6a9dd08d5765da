"""Label files: read one record at a time, judged by the gate, merged as jq would."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qinstruct_trainer.contract.errors import DataError
from qinstruct_trainer.prep.extract import extract
from qinstruct_trainer.prep.gate import GateReport, Labels, inspect, judge
from qinstruct_trainer.prep.json_array import read_elements
from qinstruct_trainer.prep.merge import merge
from qinstruct_trainer.prep.progress import Progress
from support.prep.miniature import Miniature, write_miniature

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def progress() -> Progress:
    return Progress(lambda _: None, "gate", "records", "files")


def write(path: Path, text: str) -> Labels:
    path.write_text(text, "utf-8", newline="")
    return Labels(source=path.stem, path=path)


def lines_of(path: Path) -> list[object]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def check(labels: Labels, roots: list[Path]) -> GateReport:
    return inspect([labels], roots, progress())


@pytest.fixture
def miniature(tmp_path: Path) -> Miniature:
    made = write_miniature(tmp_path / "miniature")
    extract(made.archive, "images", tmp_path / "images", progress())
    return made


@given(value=st.lists(JSON), indent=st.sampled_from([None, 1]), ascii_only=st.booleans())
def test_elements_are_those_of_json(
    tmp_path_factory: pytest.TempPathFactory,
    value: list[Any],
    indent: int | None,
    ascii_only: bool,
) -> None:
    path = tmp_path_factory.mktemp("labels") / "labels.json"
    try:
        path.write_text(json.dumps(value, indent=indent, ensure_ascii=ascii_only), "utf-8")
    except UnicodeEncodeError:
        return  # half of a surrogate pair has no UTF-8
    elements = list(read_elements(path, "labels"))
    assert [element for _, element in elements] == value
    assert [json.loads(text) for text, _ in elements] == value
    assert not any("\n" in text for text, _ in elements)


def test_record_longer_than_the_window(tmp_path: Path) -> None:
    long = {"text": "ü" * 3_000_000}
    path = tmp_path / "labels.json"
    path.write_text(json.dumps([1, long, 2], ensure_ascii=False), "utf-8")
    assert [value for _, value in read_elements(path, "labels")] == [1, long, 2]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   ",
        "{}",
        '{"a": [1]}',
        "[",
        "[1",
        "[1,",
        "[1,]",
        "[1 2]",
        "[,1]",
        "[1]]",
        "[1] 2",
        '["a]',
        '[{"a": 1}',
        "[NaN]",
        "[Infinity]",
        "[01]",
        '["\n"]',
        "[" * 100_000,
        "[1" + "0" * 5000 + "]",
        "<!doctype html>",
    ],
)
def test_what_is_no_array_is_refused(tmp_path: Path, text: str) -> None:
    labels = write(tmp_path / "labels.json", text)
    with pytest.raises(DataError, match="labels, record"):
        list(read_elements(labels.path, "labels"))


def test_text_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    (tmp_path / "labels.json").write_bytes(b'["\xff"]')
    with pytest.raises(DataError, match="UTF-8"):
        list(read_elements(tmp_path / "labels.json", "labels"))


def test_byte_order_mark_is_skipped(tmp_path: Path) -> None:
    (tmp_path / "labels.json").write_bytes(b"\xef\xbb\xbf[1]")
    assert list(read_elements(tmp_path / "labels.json", "labels")) == [("1", 1)]


def test_good_data_passes(miniature: Miniature, tmp_path: Path) -> None:
    labels = Labels(source="labels", path=miniature.labels, published=36)
    report = check(labels, [tmp_path / "images"])
    assert (report.num_records, report.images, report.bad) == (36, 12, ())
    assert list(report.warnings()) == []
    judge(report, "Fail", 0, tmp_path)


def test_count_that_differs_is_a_warning(miniature: Miniature, tmp_path: Path) -> None:
    labels = Labels(source="labels", path=miniature.labels, published=200_534)
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
    labels = Labels(source="labels", path=miniature.labels)
    report = check(labels, [tmp_path / "images"])
    assert [bad.index for bad in report.bad] == [3, 4, 5]
    for policy, most in (("Fail", 0), ("Fail", 5), ("Drop", 2)):
        with pytest.raises(DataError, match=rf"3 of 36 .*{image.name}.*/report"):
            judge(report, policy, most, Path("/report"))  # type: ignore[arg-type]
    judge(report, "Drop", 3, tmp_path)
    merge([labels], report, tmp_path / "records.jsonl", progress())
    kept = lines_of(tmp_path / "records.jsonl")
    assert kept == [r for n, r in enumerate(miniature.records) if n not in {3, 4, 5}]


def test_image_is_found_in_any_root(miniature: Miniature, tmp_path: Path) -> None:
    labels = Labels(source="labels", path=miniature.labels)
    (tmp_path / "other").mkdir()
    (tmp_path / "images" / "spaq_koniq").rename(tmp_path / "other" / "spaq_koniq")
    assert check(labels, [tmp_path / "images", tmp_path / "other"]).bad == ()


@pytest.mark.slow
def test_many_images_are_decoded_by_processes(tmp_path: Path) -> None:
    made = write_miniature(tmp_path / "miniature", num_images=300)
    extract(made.archive, "images", tmp_path / "images", progress())
    image = tmp_path / "images" / str(made.records[-1]["image"])
    image.write_bytes(b"no image")
    report = check(Labels(source="labels", path=made.labels), [tmp_path / "images"])
    assert (report.images, [bad.index for bad in report.bad]) == (300, [897, 898, 899])


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
        judge(report, "Fail", 0, tmp_path)


def test_nothing_usable_is_refused_under_any_policy(tmp_path: Path) -> None:
    report = check(write(tmp_path / "labels.json", "[1, 2]"), [])
    with pytest.raises(DataError, match="no record is usable"):
        judge(report, "Drop", 100, tmp_path)


@pytest.mark.skipif(shutil.which("jq") is None, reason="jq is not installed")
def test_merge_equals_jq(miniature: Miniature, tmp_path: Path) -> None:
    text = [{"id": n, "conversations": [{"from": "human", "value": f"ü {n}"}]} for n in range(5)]
    first = Labels(source="first", path=miniature.labels)
    second = write(tmp_path / "second.json", json.dumps(text, indent=2))
    report = inspect([first, second], [tmp_path / "images"], progress())
    merge([first, second], report, tmp_path / "records.jsonl", progress())
    merged = lines_of(tmp_path / "records.jsonl")
    command = ["jq", "-s", "add", str(first.path), str(second.path)]
    assert merged == json.loads(subprocess.run(command, check=True, capture_output=True).stdout)


def test_merge_keeps_numbers_as_written(tmp_path: Path) -> None:
    turn = '"conversations": [{"from": "human", "value": "a b"}]'
    records = [f'{{"id": {number}, {turn}}}' for number in ("1.10", "12345678901234567890", "1E2")]
    labels = write(tmp_path / "labels.json", "[" + ",\n".join(records) + "]")
    merge([labels], check(labels, []), tmp_path / "records.jsonl", progress())
    assert (tmp_path / "records.jsonl").read_text().splitlines() == records
