import hashlib
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from qinstruct_trainer.builtin.dataset import (
    NUM_HELDOUT_PHOTOGRAPHS,
    split_photographs,
    write_builtin,
)
from qinstruct_trainer.builtin.photographs import PHOTOGRAPHS
from qinstruct_trainer.data.images import examine_image
from qinstruct_trainer.data.records import parse_record
from support.model.builtin import read_array, write_small_builtin


@pytest.fixture(scope="module")
def after(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small_builtin(tmp_path_factory.mktemp("after"))


@pytest.fixture(scope="module")
def mix(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small_builtin(tmp_path_factory.mktemp("mix"), strategy="mix")


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_the_same_seed_gives_the_same_bytes(after: Path, tmp_path: Path) -> None:
    assert digests(write_small_builtin(tmp_path)) == digests(after)


def test_another_seed_gives_other_pictures(after: Path, tmp_path: Path) -> None:
    other = digests(write_small_builtin(tmp_path, seed=8))
    ours = digests(after)
    assert other.keys() == ours.keys()
    assert not set(other.values()) & set(ours.values())


@pytest.mark.parametrize("seed", range(20))
def test_photographs_are_split_by_subject(seed: int) -> None:
    train, heldout = split_photographs(np.random.default_rng(seed))
    assert len(heldout) == NUM_HELDOUT_PHOTOGRAPHS
    assert {photo.name for photo in train}.isdisjoint(photo.name for photo in heldout)
    assert {*train, *heldout} == set(PHOTOGRAPHS)
    train_files = {file_name for photo in train for file_name in photo.file_names}
    assert train_files.isdisjoint(name for photo in heldout for name in photo.file_names)


def test_no_picture_is_in_both_parts(after: Path) -> None:
    train = {path.read_bytes() for path in (after / "images/builtin/train").iterdir()}
    heldout = {path.read_bytes() for path in (after / "images/builtin/heldout").iterdir()}
    assert train.isdisjoint(heldout)
    records = {record["image"] for record in read_array(after / "labels.json")}
    assert records.isdisjoint(q["image"] for q in read_array(after / "heldout.json"))


@pytest.mark.parametrize("strategy", ["after", "mix"])
def test_records_parse_and_their_images_decode(
    strategy: str, request: pytest.FixtureRequest
) -> None:
    folder: Path = request.getfixturevalue(strategy)
    records = read_array(folder / "labels.json")
    images = set()
    for index, raw in enumerate(records):
        image = parse_record(raw, index).image
        if image is not None:
            images.add(image)
    for image in images:
        examine_image(folder / "images" / image)
        with Image.open(folder / "images" / image) as picture:
            assert (picture.mode, picture.size) == ("RGB", (112, 112))
    assert len({record["id"] for record in records}) == len(records)


def test_after_has_the_published_record_format(after: Path) -> None:
    records = read_array(after / "labels.json")
    for record in records:
        assert list(record) == ["id", "qtype", "type", "conversations", "image"]
        assert [turn["from"] for turn in record["conversations"]] == ["human", "gpt"]
        assert record["conversations"][0]["value"].count("<image>") == 1
    at_the_end = [r for r in records if r["conversations"][0]["value"].endswith("<image>")]
    assert 0 < len(at_the_end) < len(records) / 2


def test_mix_appends_several_turns_and_text_only(after: Path, mix: Path) -> None:
    own, records = read_array(after / "labels.json"), read_array(mix / "labels.json")
    assert records[: len(own)] == own
    added = records[len(own) :]
    text_only = [record for record in added if "image" not in record]
    several_turns = [record for record in added if len(record["conversations"]) > 2]
    assert text_only
    assert [record for record in several_turns if "image" in record]
    assert not [record for record in text_only if "<image>" in str(record["conversations"])]


def test_heldout_questions_are_balanced(tmp_path: Path) -> None:
    write_builtin(tmp_path, seed=7, strategy="after", num_train_pictures=7)
    questions = read_array(tmp_path / "heldout.json")
    assert len(questions) >= 300
    for kind, chance in (("yes-no", 1 / 2), ("what", 1 / 7), ("how", 1 / 3)):
        answers = Counter(q["answer"] for q in questions if q["kind"] == kind)
        candidates = {tuple(q["candidates"]) for q in questions if q["kind"] == kind}
        assert len(candidates) == 1
        assert set(answers) == set(candidates.pop())
        assert max(answers.values()) / answers.total() < chance + 0.12
