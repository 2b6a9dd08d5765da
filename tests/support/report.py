"""Labels, images and prepared data for reports, in every state that they come in."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from qinstruct_trainer.contract.config import Prepared
from qinstruct_trainer.data.image_tokens import TokenizedRecord
from qinstruct_trainer.data.index.writer import IndexWriter
from qinstruct_trainer.data.records import parse_record
from qinstruct_trainer.prep.gate import RecordFile, inspect_records
from support.prep.examine import examine_in

HOSTILE = '"><img src=x onerror=alert(1)><script>alert(2)</script>\x1b[31m\u202ered'


def record(image: str | None, question: str, answer: str = "Yes.", **fields: Any) -> dict[str, Any]:
    turns = [{"from": "human", "value": question}, {"from": "gpt", "value": answer}]
    named = {} if image is None else {"image": image}
    return {"id": "1", **named, "conversations": turns, **fields}


RECORDS: list[dict[str, Any]] = [
    record("good.jpg", "Is it blurry?\n<image>", type="direct"),
    record(
        "grey.png", "<image>\nHow is the light? Answer with the option's letter from A", HOSTILE
    ),
    record("page.jpg", "What is it?\nAnswer the question using a single word or phrase."),
    record("missing.jpg", "Describe it."),
    record(HOSTILE.replace("/", "|"), "Hello", id=HOSTILE),
    record(None, "Hello there"),
]
BAD: dict[str, Any] = {"id": "bad", "conversations": []}


def write_images(folder: Path) -> Path:
    folder.mkdir(parents=True)
    Image.new("RGB", (640, 480), (200, 30, 30)).save(folder / "good.jpg")
    Image.new("L", (100, 2000), 128).save(folder / "grey.png")
    (folder / "page.jpg").write_text("<!DOCTYPE html>")
    return folder


def write_labels(path: Path, records: list[dict[str, Any]]) -> Path:
    text = json.dumps(records)
    if path.suffix == ".jsonl":
        text = "\n".join(json.dumps(one) for one in records) + "\n"
    path.write_text(text, "utf-8")
    return path


def write_prepared(folder: Path) -> Path:
    """The folder of a run whose gate has dropped what is bad; its index has three records."""
    images = write_images(folder / "images")
    labels = write_labels(folder / "labels.json", [*RECORDS[:2], BAD, RECORDS[3], RECORDS[5]])
    gate = folder / "gate"
    gate.mkdir()
    file = RecordFile(source="q-instruct-labels", path=labels, published=7)
    report = inspect_records([file], gate / "records.jsonl", examine_in(images))
    (gate / "report.json").write_text(report.model_dump_json())
    _write_index(folder / "index", images)
    output = folder / "output"
    output.mkdir()
    prepared = Prepared(
        index=folder / "index",
        model=folder / "model",
        gate_report=gate / "report.json",
        num_records=3,
        num_dropped=report.num_bad,
    )
    (output / "prepared.json").write_text(prepared.to_json())
    return output


def _write_index(folder: Path, images: Path) -> None:
    numbers = {"image_token_id": 9, "num_image_tokens": 4, "pad_token_id": 0, "max_length": 100}
    with IndexWriter(folder, roots=[images], **numbers) as writer:
        for number, raw in enumerate((RECORDS[0], RECORDS[1], RECORDS[5])):
            ids = np.arange(1, 4 + number, dtype=np.int64)
            one = parse_record(raw, number)
            image = None if one.image is None else (0, one.image)
            writer.add(TokenizedRecord(ids, ids, len(ids)), words=one.num_words, image=image)
