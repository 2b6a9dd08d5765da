"""Merged records become an index; what would vanish from the loss unnoticed is refused."""

import json
from pathlib import Path

import pytest

from qinstruct_trainer.contract.errors import DataError
from qinstruct_trainer.data.index.reader import Index
from qinstruct_trainer.prep.index import write_index
from qinstruct_trainer.prep.progress import Progress
from support.model.builtin import write_small_model

NUM_IMAGE_TOKENS = 64  # of the tiny model


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small_model(tmp_path_factory.mktemp("model"), ["Is it sharp?", "Yes."] * 20)


@pytest.fixture
def roots(tmp_path: Path) -> list[Path]:
    roots = [tmp_path / "one", tmp_path / "two"]
    for root in roots:
        root.mkdir()
    (roots[1] / "a.jpg").touch()
    return roots


def merged(folder: Path, *images: str | None) -> Path:
    """One record an image; None: text-only."""
    said = [{"from": "human", "value": "Is it sharp?"}, {"from": "gpt", "value": "Yes."}]
    shown = [{"from": "human", "value": "<image>\nIs it sharp?"}, said[1]]
    path = folder / "records.jsonl"
    with path.open("w") as file:
        for number, image in enumerate(images):
            conversations = said if image is None else shown
            record = {"id": f"r{number}", "image": image, "conversations": conversations}
            file.write(f"{json.dumps(record)}\n")
    return path


def progress() -> Progress:
    return Progress(lambda _: None, "index", "records", "records")


def test_records_get_the_tokens_of_the_model_and_the_folder_of_their_image(
    model: Path, roots: list[Path], tmp_path: Path
) -> None:
    counted = progress()
    records = merged(tmp_path, "a.jpg", None)
    write_index(records, model, roots, tmp_path / "index", counted, max_length=512)
    index = Index.open(tmp_path / "index")
    assert counted.done == counted.total == len(index) == 2
    assert index[0].image == roots[1] / "a.jpg"
    assert [length for _, length in index[0].image_runs] == [NUM_IMAGE_TOKENS]
    assert (index[1].image, index[1].image_runs) == (None, ())
    assert index.lengths[0] >= index.lengths[1] + NUM_IMAGE_TOKENS
    assert index.meta.num_unsupervised == 0


def test_an_image_that_vanished_after_the_gate_is_named(
    model: Path, roots: list[Path], tmp_path: Path
) -> None:
    (roots[1] / "a.jpg").unlink()
    records = merged(tmp_path, "a.jpg")
    with pytest.raises(DataError, match=r"image a\.jpg vanished after the gate"):
        write_index(records, model, roots, tmp_path / "index", progress(), max_length=512)


@pytest.mark.parametrize("max_length", [1, NUM_IMAGE_TOKENS])
def test_too_many_records_with_nothing_to_learn_are_refused(
    max_length: int, model: Path, roots: list[Path], tmp_path: Path
) -> None:
    records = merged(tmp_path, "a.jpg", "a.jpg")
    with pytest.raises(DataError, match=r"2 of 2 records .* first id 'r0'; raise training"):
        write_index(records, model, roots, tmp_path / "index", progress(), max_length=max_length)
