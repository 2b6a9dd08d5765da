"""Opens what `qinstruct data` is given: labels, prepared data, or an index."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from qinstruct_trainer.contract import output_files
from qinstruct_trainer.contract.config import Prepared
from qinstruct_trainer.contract.errors import ConfigError, DataError
from qinstruct_trainer.data.index.format import META
from qinstruct_trainer.data.index.reader import Index
from qinstruct_trainer.data.records import Record, parse_record
from qinstruct_trainer.durable_files import read_bounded
from qinstruct_trainer.file_kinds import instead, special_kind
from qinstruct_trainer.json_files import whole_number
from qinstruct_trainer.prep.gate import GateReport
from qinstruct_trainer.prep.image_finder import ImageFinder
from qinstruct_trainer.prep.json_array import read_elements
from qinstruct_trainer.prep.stages import RECORDS

_MAX_LINE: Final = 1 << 22  # characters; a record of the published files has a few hundred
_MAX_START: Final = 1 << 16
_GIVE: Final = "give a label file, the folder of a run, or its prepared.json"


@dataclass(frozen=True)
class Row:
    """One record, or what is wrong with it.

    Attributes:
        source: Its label file.
        number: In the file, counted from 0.
        value: The decoded JSON value.
        record: The record, or the fault.
    """

    source: str
    number: int
    value: object
    record: Record | DataError


@dataclass(frozen=True)
class Dataset:
    """What there is to report on.

    Attributes:
        name: For people.
        rows: Reads all records; None of an index, which has only tokens.
        index: The token index, where there is one.
        gate: What the gate found, where it has looked.
        find: The file of a record's image, or None; None: no folder of images is known.
    """

    name: str
    rows: Callable[[], Iterator[Row]] | None
    index: Index | None
    gate: GateReport | None
    find: Callable[[str], Path | None] | None


def open_dataset(path: Path, images: Path | None) -> Dataset:
    """Open labels, an output folder, its `prepared.json`, or the folder of an index.

    Args:
        path: The file or folder.
        images: Folder that the images of a label file are below.

    Raises:
        ConfigError: it is none of these.
        DataError: it is damaged.
        OSError: it cannot be read.
    """
    if not path.exists():
        raise ConfigError(f"{path} is not there; {_GIVE}")
    is_folder, special = path.is_dir(), special_kind(path)
    if special is not None and not is_folder:
        raise ConfigError(f"{path} is {special.name}, and no plain file; {_GIVE}")
    if is_folder or path.name == output_files.PREPARED:
        if images is not None:
            raise ConfigError(
                f"--images {images} goes with a label file, and {path} knows its images; leave "
                "the option out"
            )
        return _folder(path) if is_folder else _prepared(path)
    start = read_bounded(path.resolve(), _MAX_START)
    is_array = start.lstrip(b" \t\r\n\xef\xbb\xbf").startswith(b"[")
    read = _array if is_array else _lines
    find = None if images is None else _finder((images,))
    return Dataset(str(path), lambda: read(path), None, None, find)


def _folder(path: Path) -> Dataset:
    if (path / output_files.PREPARED).is_file():
        return _prepared(path / output_files.PREPARED)
    if (path / META).is_file():
        return Dataset(str(path), None, Index.open(path), None, None)
    raise ConfigError(f"{path} has neither {output_files.PREPARED} nor an index ({META}); {_GIVE}")


def _prepared(path: Path) -> Dataset:
    prepared = Prepared.read(path)
    records = prepared.gate_report.parent / RECORDS
    for unit_file in (prepared.gate_report, records, prepared.index / META):
        special = special_kind(unit_file) if unit_file.exists() else None
        if special is not None:
            raise DataError(f"{unit_file} is {special.name}; run prep again to make it")
    gate = _gate_report(prepared.gate_report)
    index = Index.open(prepared.index)
    find = _finder(tuple(Path(root) for root in index.meta.roots))
    return Dataset(str(path), lambda: _gated(records, gate), index, gate, find)


def _finder(roots: Sequence[Path]) -> Callable[[str], Path | None]:
    finder = ImageFinder(roots)

    def find(image: str) -> Path | None:
        number = finder.find(image)
        return None if number is None else roots[number] / image

    return find


def _gate_report(path: Path) -> GateReport:
    try:
        return GateReport.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise DataError(f"{path} is damaged; run prep again to make it") from error


def _gated(records: Path, gate: GateReport) -> Iterator[Row]:
    """The records that the gate has read, each of its source, those that it dropped left out."""
    with records.open("rb") as file:
        for count in gate.counts:
            bad = frozenset(gate.bad_numbers(count.source))
            for number in range(count.records):
                line = file.readline()
                if number not in bad:
                    yield _row(count.source, number, _decoded(line, records))


def _decoded(line: bytes, records: Path) -> object:
    try:
        return json.loads(line.decode())
    except (ValueError, RecursionError) as error:
        raise DataError(
            f"{records} is damaged; remove its folder and run prep again to make it"
        ) from error


def _array(path: Path) -> Iterator[Row]:
    for number, (_, value) in enumerate(read_elements(path, path.name)):
        yield _row(path.name, number, value)


def _lines(path: Path) -> Iterator[Row]:
    """JSON lines; a line that is no JSON is a bad record, a file without a good one no labels."""
    good = False
    first: DataError | None = None
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        number = -1
        while line := file.readline(_MAX_LINE):
            if not line.strip():
                continue
            number += 1
            try:
                value = json.loads(line, parse_int=whole_number)
                good = True
                yield _row(path.name, number, value)
            except (ValueError, RecursionError) as error:
                first = first or DataError(f"line {number + 1} is not JSON ({error!s:.80})")
                yield Row(path.name, number, None, DataError(f"line {number + 1} is not JSON"))
    if not good:
        reason = "it is empty" if first is None else str(first)
        otherwise = f"is neither a JSON array of records nor JSON lines: {reason}"
        what = instead(path, "a JSON array of records", otherwise, "a JSON array", "a JSON object")
        raise DataError(f"{path} {what}; {_GIVE}")


def _row(source: str, number: int, value: object) -> Row:
    try:
        return Row(source, number, value, parse_record(value, number))
    except DataError as error:
        return Row(source, number, value, error)
