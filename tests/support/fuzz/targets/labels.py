"""A label file: read, checked, merged and tokenised as preparation does it."""

import json
import tempfile
from functools import cache
from pathlib import Path
from typing import Final

from PIL import Image

from qinstruct_trainer.builtin.tokenizer import write_tiny_tokenizer
from qinstruct_trainer.contract.errors import DataError
from qinstruct_trainer.data.encode import text_encoder, tokenize_record
from qinstruct_trainer.data.tokenizer import Tokenizer, load_tokenizer
from qinstruct_trainer.prep.gate import RecordFile, apply_policy, inspect_records
from qinstruct_trainer.prep.merge import merge, read_records
from qinstruct_trainer.prep.progress import Progress
from support.fuzz.verdict import must_be_shown
from support.prep.examine import examine_in

MEMORY: Final = 384 << 20  # an element may have 2 MiB, and take 30 times that
_MAX_REPORT: Final = 4 << 20
_TEXTS: Final = ["Is this image sharp? Yes, it is.", "a b c d e f g h i j k"] * 20


def run(content: bytes) -> object:
    """The number of records that could be trained on."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        return _prepare(content, folder)


def _prepare(content: bytes, folder: Path) -> int:
    (folder / "images").mkdir()
    Image.new("RGB", (4, 4)).save(folder / "images" / "a.png")
    labels, lines, merged = folder / "labels.json", folder / "lines", folder / "merged"
    labels.write_bytes(content)
    file = RecordFile(source="labels", path=labels)
    report = inspect_records([file], lines, examine_in(folder / "images"))
    for bad in report.bad:
        must_be_shown(bad.reason)
    assert len(report.model_dump_json()) < _MAX_REPORT
    _check_lines(lines, report.num_records)
    try:
        apply_policy(report, "Fail", 0, folder / "report.json")
    except DataError as error:
        must_be_shown(str(error), 4000)  # it has three of the others
    apply_policy(report, "Drop", report.num_records, folder / "report.json")
    merge(lines, report, merged, _progress())
    records = list(read_records(merged))
    assert len(records) == report.num_records - report.num_bad
    for record in records:
        if record.image is not None:
            assert (folder / "images" / record.image).resolve() == folder / "images" / "a.png"
        tokens = tokenize_record(record, text_encoder(_tokenizer()), 4, max_length=64)
        assert 0 < len(tokens.input_ids) == len(tokens.labels) <= 64
    return len(records)


def _check_lines(lines: Path, num_records: int) -> None:
    with lines.open("rb") as file:
        read = [json.loads(line) for line in file]
    assert len(read) == num_records


def _progress() -> Progress:
    return Progress(lambda _: None, "gate", "labels", "records")


@cache
def _tokenizer() -> Tokenizer:
    with tempfile.TemporaryDirectory() as folder:
        write_tiny_tokenizer(Path(folder), _TEXTS)
        return load_tokenizer(Path(folder))
