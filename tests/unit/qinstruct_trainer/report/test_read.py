"""What FILE may be, and what it may not."""

import json
import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from qinstruct_trainer.contract.errors import ConfigError, DataError, RunError
from qinstruct_trainer.data.records import Record
from qinstruct_trainer.report.read import Dataset, open_dataset
from support.report import BAD, RECORDS, write_labels, write_prepared
from support.unprivileged import open_folder, unprivileged


def bind(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(path))  # its name may have 107 bytes


def link_to_pipe(path: Path) -> None:
    os.mkfifo(f"{path}.pipe")
    path.symlink_to(f"{path}.pipe")


def rows_of(dataset: Dataset) -> list[tuple[str, int, bool]]:
    assert dataset.rows is not None
    return [(row.source, row.number, isinstance(row.record, Record)) for row in dataset.rows()]


@pytest.mark.parametrize("name", ["labels.json", "labels.jsonl"])
def test_labels(name: str, tmp_path: Path) -> None:
    file = write_labels(tmp_path / name, [RECORDS[0], BAD, RECORDS[1]])
    dataset = open_dataset(file, tmp_path)
    assert rows_of(dataset) == [(name, 0, True), (name, 1, False), (name, 2, True)]
    assert dataset.find is not None
    assert dataset.find(name) == file
    assert dataset.find("none.jpg") is None
    assert open_dataset(file, None).find is None


def test_a_line_that_is_no_json_is_one_bad_record(tmp_path: Path) -> None:
    file = write_labels(tmp_path / "x.jsonl", RECORDS[:1])
    with file.open("ab") as out:
        out.write(b"\n{half\n\xff\xfe\n" + b"[" * 10**5 + b"\n" + json.dumps(RECORDS[1]).encode())
    goods = [good for _, _, good in rows_of(open_dataset(file, None))]
    assert goods == [True, False, False, False, True]


@pytest.mark.parametrize("in_folder", [True, False])
def test_the_folder_of_a_run_and_its_prepared_json(in_folder: bool, tmp_path: Path) -> None:
    output = write_prepared(tmp_path)
    dataset = open_dataset(output if in_folder else output / "prepared.json", None)
    source = "q-instruct-labels"
    assert rows_of(dataset) == [(source, 0, True), (source, 1, True), (source, 4, True)]
    assert dataset.index is not None
    assert len(dataset.index) == 3
    assert dataset.find is not None
    assert dataset.find("good.jpg") == tmp_path / "images/good.jpg"
    assert dataset.find("none.jpg") is None


def test_an_index_alone_has_no_records(tmp_path: Path) -> None:
    write_prepared(tmp_path)
    dataset = open_dataset(tmp_path / "index", None)
    assert (dataset.rows, len(dataset.index or [])) == (None, 3)


@pytest.mark.parametrize(
    ("content", "error", "sentence"),
    [
        (None, ConfigError, "is not there"),
        ("", DataError, "is an empty file, not a JSON array of records"),
        ("<!DOCTYPE html><html>", DataError, "is an HTML page, not a JSON array of records"),
        ("[{]", DataError, "record 0: it is not valid JSON"),
        ("[1, 2", DataError, "truncated"),
        ("hello", DataError, "line 1 is not JSON"),
        ('{"id": ' + "9" * 10_000 + "}", DataError, "a whole number of 10,000 digits, and at most"),
    ],
)
def test_no_labels(
    content: str | None, error: type[RunError], sentence: str, tmp_path: Path
) -> None:
    file = tmp_path / "file.json"
    if content is not None:
        file.write_text(content)
    with pytest.raises(error, match=sentence):
        rows_of(open_dataset(file, None))


@pytest.mark.parametrize("name", ["labels.json", "labels.jsonl", "prepared.json"])
@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (os.mkfifo, "a pipe"),
        (lambda path: path.symlink_to("/dev/zero"), "a device"),
        (lambda path: path.symlink_to("/dev/null"), "a device"),
        (bind, "a socket"),
        (link_to_pipe, "a pipe"),
    ],
)
def test_what_is_no_plain_file_is_refused_at_once(
    make: Callable[[Path], object], kind: str, name: str, tmp_path: Path
) -> None:
    make(tmp_path / name)
    with pytest.raises(ConfigError, match=f"{name} is {kind}, and no plain file; give a label"):
        open_dataset(tmp_path / name, None)


@pytest.mark.parametrize("name", ["gate/report.json", "gate/records.jsonl", "index/meta.json"])
def test_prepared_data_with_a_pipe_in_it(name: str, tmp_path: Path) -> None:
    output = write_prepared(tmp_path)
    (tmp_path / name).unlink()
    os.mkfifo(tmp_path / name)
    with pytest.raises(DataError, match=f"{name} is a pipe; run prep again to make it"):
        open_dataset(output, None)


def test_a_link_to_labels(tmp_path: Path) -> None:
    write_labels(tmp_path / "real.json", RECORDS)
    (tmp_path / "labels.json").symlink_to("real.json")
    assert len(rows_of(open_dataset(tmp_path / "labels.json", None))) == len(RECORDS)


def test_a_file_that_nobody_may_read() -> None:
    with open_folder() as folder:
        file = write_labels(folder / "labels.json", RECORDS)
        file.chmod(0)
        with unprivileged(), pytest.raises(PermissionError):
            open_dataset(file, None)


@pytest.mark.parametrize("name", ["output", "output/prepared.json", "index"])
def test_a_folder_of_images_beside_prepared_data_is_refused(name: str, tmp_path: Path) -> None:
    write_prepared(tmp_path)
    with pytest.raises(ConfigError, match=r"--images .* goes with a label file, and .* knows its"):
        open_dataset(tmp_path / name, tmp_path)


def test_a_folder_of_something_else(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"has neither prepared\.json nor an index"):
        open_dataset(tmp_path, None)


def test_a_report_of_the_gate_that_is_damaged(tmp_path: Path) -> None:
    output = write_prepared(tmp_path)
    (tmp_path / "gate/report.json").write_text("{")
    with pytest.raises(DataError, match=r"report.json is damaged; run prep again"):
        open_dataset(output, None)


@pytest.mark.parametrize("content", [b"", b'{"id"\n', b"\xff\n", b"[" * 10**5 + b"\n"])
def test_records_of_the_gate_that_are_damaged(content: bytes, tmp_path: Path) -> None:
    output = write_prepared(tmp_path)
    (tmp_path / "gate/records.jsonl").write_bytes(content)
    with pytest.raises(DataError, match=r"records.jsonl is damaged; remove its folder"):
        rows_of(open_dataset(output, None))
