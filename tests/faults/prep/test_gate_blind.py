"""Records that speak of a picture and name none would be trained on blind."""

import json
from pathlib import Path
from typing import Any

import pytest

from qinstruct_trainer.contract.errors import DataError
from qinstruct_trainer.data.records import parse_record
from qinstruct_trainer.prep.gate import GateReport, RecordFile, apply_policy, inspect_records
from support.prep.examine import examine_in

ASKED = "<image>\nIs it blurry?"


def record(question: str = "Is it blurry?", **fields: Any) -> dict[str, Any]:
    turns = [{"from": "human", "value": question}, {"from": "gpt", "value": "Yes."}]
    return {"id": 1, "conversations": turns} | fields


def inspect(records: list[dict[str, Any]], folder: Path) -> GateReport:
    (folder / "labels.json").write_text(json.dumps(records))
    file = RecordFile(source="labels", path=folder / "labels.json")
    return inspect_records([file], folder / "lines", examine_in())


@pytest.mark.parametrize(
    ("blind", "sign"),
    [
        (record(ASKED), "<image> in its text"),
        (record(image_path="a/1.jpg"), "its field image_path"),
        (record(imgs=["a/1.jpg"]), "its field imgs"),
        (record(Image="a/1.jpg"), "its field Image"),
        (record(image_url={"url": "https://a/1.jpg"}), "its field image_url"),
        (record(pictures=["a", "b"]), "its field pictures"),
        (record(photo="a/1.jpg"), "its field photo"),
        (record(image=None, image_file="a.jpg"), "its field image_file"),
    ],
)
@pytest.mark.parametrize("policy", ["Fail", "Drop"])
def test_a_set_that_names_no_picture_is_refused(
    blind: dict[str, Any], sign: str, policy: Any, tmp_path: Path
) -> None:
    report = inspect([record(), *[blind] * 40], tmp_path)

    with pytest.raises(DataError) as caught:
        apply_policy(report, policy, 100, tmp_path)

    assert str(caught.value) == (
        "labels: 40 of 40 records that speak of a picture name none in `image`, the first is "
        f"record 1 ({sign}); write the path of the one picture as image, or correct "
        "data.sources.labels.url"
    )
    assert list(report.warnings()) == []


def test_some_are_a_warning(tmp_path: Path) -> None:
    seen = record(ASKED, image="a/1.jpg")
    report = inspect([seen, seen, record("What does <image> do in HTML?"), record()], tmp_path)

    assert list(report.warnings()) == [
        "labels: 1 of 3 records that speak of a picture name none in `image`, the first is record "
        "2 (<image> in its text); they are trained on as text"
    ]
    with pytest.raises(DataError, match="2 of 4 records are bad"):  # the picture is not there
        apply_policy(report, "Fail", 0, tmp_path)


def test_text_alone_is_no_sign(tmp_path: Path) -> None:
    report = inspect([record(), record("An image?", image_id=7, image=None, images=[])], tmp_path)

    assert list(report.warnings()) == []
    apply_policy(report, "Fail", 0, tmp_path)


@pytest.mark.parametrize(
    "fields",
    [
        *({"image": ["a/1.jpg"]}, {"images": ["a/1.jpg"]}, {"images": "a/1.jpg"}),
        {"image": None, "images": ["a/1.jpg"]},
        {"image": "a/1.jpg", "images": ["a/1.jpg", "b.jpg"]},  # the published field counts
    ],
)
def test_one_picture_in_another_form_is_that_picture(fields: dict[str, Any]) -> None:
    assert parse_record(record(ASKED, **fields), 0).image == "a/1.jpg"


@pytest.mark.parametrize("field", ["image", "images"])
def test_several_pictures_are_a_fault(field: str) -> None:
    with pytest.raises(DataError, match="names 2 images, and a record has at most one"):
        parse_record(record(ASKED, **{field: ["a/1.jpg", "b/2.jpg"]}), 0)
