import json
from pathlib import Path
from typing import Any

import pytest

from qinstruct_trainer.contract.errors import DataError, StorageError
from qinstruct_trainer.evaluate.heldout import HeldoutQuestion, heldout_images, read_heldout

GOOD: dict[str, Any] = {
    "id": "1",
    "image": "builtin/heldout/00001.png",
    "kind": "yes-no",
    "question": "Is this image blurry?",
    "answer": "No.",
    "candidates": ["Yes.", "No."],
}


def write(folder: Path, document: object) -> Path:
    path = folder / "heldout.json"
    path.write_text(json.dumps(document), "utf-8")
    return path


def test_questions_are_read_in_order(tmp_path: Path) -> None:
    questions = read_heldout(write(tmp_path, [GOOD, {**GOOD, "id": "2"}]))
    assert [question.id for question in questions] == ["1", "2"]
    assert questions[0].candidates == ("Yes.", "No.")


CASES: dict[str, tuple[object, str]] = {
    "no array": ({"questions": []}, "valid tuple"),
    "no question": ([], "has no questions"),
    "a field is missing": ([{k: v for k, v in GOOD.items() if k != "kind"}], r"0\.kind: Field"),
    "an unknown field": ([{**GOOD, "score": 1}], r"0\.score: Extra"),
    "the answer is no candidate": ([{**GOOD, "answer": "Maybe."}], "none of the candidates"),
    "one candidate": ([{**GOOD, "candidates": ["No."]}], r"0\.candidates"),
}


@pytest.mark.parametrize(("document", "message"), CASES.values(), ids=CASES.keys())
def test_a_bad_file_is_refused_by_name(tmp_path: Path, document: object, message: str) -> None:
    path = write(tmp_path, document)
    with pytest.raises(DataError, match=message) as caught:
        read_heldout(path)
    assert str(path) in str(caught.value)


def test_text_that_is_no_json_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "heldout.json"
    path.write_text("<html>", "utf-8")
    with pytest.raises(DataError, match="is not JSON"):
        read_heldout(path)


def test_a_missing_file_is_a_storage_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot be read"):
        read_heldout(tmp_path / "heldout.json")


def test_an_image_outside_the_folder_is_refused() -> None:
    question = HeldoutQuestion.model_validate({**GOOD, "image": "../secret.png"})
    with pytest.raises(DataError, match="not below the image folder"):
        question.record("No.")


def test_the_images_are_beside_the_questions(builtin_data: Path) -> None:
    heldout = builtin_data / "heldout.json"
    images = heldout_images(heldout)
    assert all((images / question.image).is_file() for question in read_heldout(heldout))
