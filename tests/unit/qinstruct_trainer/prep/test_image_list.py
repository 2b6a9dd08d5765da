"""OCR-VQA's list: recognised by its content, read as a stream, only what records refer to."""

import json
import tarfile
from pathlib import Path

import pytest

from qinstruct_trainer.contract.errors import DataError
from qinstruct_trainer.prep.gate import RecordFile
from qinstruct_trainer.prep.image_list import (
    ListedImage,
    is_image_list,
    read_image_list,
    referenced_names,
)
from support.prep.miniature import add_file

TURNS = [{"from": "human", "value": "<image>\nWho wrote it?"}, {"from": "gpt", "value": "I."}]
BOOK = {"questions": ["Who?"], "answers": ["I."], "title": "A", "genre": "Law", "split": 1}


def write(path: Path, document: object) -> Path:
    path.write_text(json.dumps(document))
    return path


def labels(path: Path, *images: object) -> RecordFile:
    records = [{"id": n, "image": image, "conversations": TURNS} for n, image in enumerate(images)]
    return RecordFile(source="labels", path=write(path, records))


def test_the_names_are_those_below_the_folder_in_the_records_that_are_good(tmp_path: Path) -> None:
    one = labels(tmp_path / "1", "ocr_vqa/images/1.jpg", "coco/2.jpg", "../ocr_vqa/images/3.jpg")
    two = labels(tmp_path / "2", None, "ocr_vqa/images/4.jpg", "ocr_vqa/images2/5.jpg", 7)
    assert referenced_names([one, two], "ocr_vqa/images") == {"1.jpg", "4.jpg"}
    assert referenced_names([labels(tmp_path / "3", "a.jpg")], "") == {"a.jpg"}


def test_only_what_is_wanted_is_read_and_saved_as_jpg(tmp_path: Path) -> None:
    entries = {name: BOOK | {"imageURL": f"http://x/{name}.gif"} for name in ("b", "a", "c/d")}
    path = write(tmp_path / "list", entries)
    assert read_image_list(path, "ocr-vqa", {"a.jpg", "b.jpg", "z.jpg", "c/d.jpg"}) == [
        ListedImage("b.jpg", "http://x/b.gif"),
        ListedImage("a.jpg", "http://x/a.gif"),
    ]


def test_of_an_id_that_is_there_twice_the_last_counts_as_in_json(tmp_path: Path) -> None:
    path = tmp_path / "list"
    path.write_text('{"a": {"imageURL": "http://x/1"}, "a": {"imageURL": "http://x/2"}}')
    assert read_image_list(path, "ocr-vqa", {"a.jpg"}) == [ListedImage("a.jpg", "http://x/2")]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"a": {"title": "A"}}', "entry 0 of the list, 'a', has no imageURL"),
        ('{"a": {"imageURL": 7}}', "has no imageURL"),
        ('{"a": "http://x/1"}', "has no imageURL"),
        ('{"a": {"imageURL": "http://x"}', "the object is not closed"),
        ('{"a": {"imageURL": "http://x"}} []', "something follows the end of the object"),
        ('{"a" {}}', "a member is no name, colon and value"),
        ('{1: {"imageURL": "http://x"}}', "a member is no name, colon and value"),
        ('{"a": {"imageURL": "http://x"},}', "not valid JSON"),
        ("{", "not valid JSON"),
        ("[]", "not a JSON object"),
        ('{"a": ' + '{"b":' * 100_000, "nested too deeply"),
    ],
)
def test_what_is_no_such_list_is_refused_with_its_source(
    text: str, said: str, tmp_path: Path
) -> None:
    path = tmp_path / "list"
    path.write_text(text)
    with pytest.raises(DataError, match=said) as caught:
        read_image_list(path, "ocr-vqa", {"a.jpg"})
    assert str(caught.value).startswith("ocr-vqa")


def test_an_empty_list_has_no_image(tmp_path: Path) -> None:
    assert read_image_list(write(tmp_path / "list", {}), "ocr-vqa", {"a.jpg"}) == []


@pytest.mark.parametrize(
    ("content", "is_list"),
    [
        (b'{"a": {}}', True),
        (b'\xef\xbb\xbf \r\n {"a": {}}', True),
        (b"[{}]", False),
        (b"PK\3\4", False),
        (b"", False),
        (b"\x1f\x8b\x08", False),
    ],
)
def test_a_list_is_known_by_its_first_bytes(content: bytes, is_list: bool, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    assert is_image_list(path) is is_list


def test_an_archive_whose_first_file_begins_with_a_brace_is_none(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with tarfile.open(path, "w") as tar:
        add_file(tar, "{name}.jpg", b"{")
    assert not is_image_list(path)
