"""The index has the same bytes whatever the number of processes and the way of encoding."""

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from qinstruct_trainer.contract.errors import DataError
from qinstruct_trainer.data.encode import tokenize_record
from qinstruct_trainer.data.index.writer import IndexWriter
from qinstruct_trainer.data.text_encoder import open_text_encoder
from qinstruct_trainer.prep import tokenized
from qinstruct_trainer.prep.image_finder import ImageFinder
from qinstruct_trainer.prep.index import write_index
from qinstruct_trainer.prep.merge import read_records
from qinstruct_trainer.prep.progress import Progress
from support.model.builtin import write_small_model

WORDS = ["Is", "it", "sharp?", "Rather", "dim.", "é\u4e2d", "\U0001f600", "</s>", "<pad>", "  "]
NUM_RECORDS, NUM_IMAGE_TOKENS, MAX_LENGTH = 1_000, 64, 350


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small_model(tmp_path_factory.mktemp("model"), [word * 2 for word in WORDS] * 20)


@pytest.fixture
def roots(tmp_path: Path) -> tuple[Path, ...]:
    roots = (tmp_path / "one", tmp_path / "two", tmp_path / "none")
    for number in range(20):
        path = roots[number % 2] / f"{number % 3}" / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return roots


@pytest.fixture
def records(tmp_path: Path) -> Path:
    """Some with an image, some cut, some so that nothing is left to learn."""
    chance = random.Random(0)
    path = tmp_path / "records.jsonl"
    with path.open("w") as file:
        for number in range(NUM_RECORDS):
            shown = chance.random() < 0.7
            said = " ".join(chance.choices(WORDS, k=chance.randrange(1, 40)))
            if number in (17, 500):
                said = "it " * 200
            turns = [
                {"from": "human", "value": f"<image>\n{said}" if shown else said},
                {"from": "gpt", "value": " ".join(chance.choices(WORDS, k=chance.randrange(9)))},
            ]
            image = chance.randrange(20)
            named = {"image": f"{image % 3}/{image}.jpg"} if shown else {}
            record = {"id": f"r{number}", "conversations": turns} | named
            file.write(json.dumps(record) + "\n")
    return path


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def index(
    records: Path, model: Path, roots: tuple[Path, ...], folder: Path, processes: int
) -> dict[str, bytes]:
    progress = Progress(lambda _: None, "index", "records", "records")
    arguments = {"max_length": MAX_LENGTH, "num_processes": processes}
    write_index(records, model, roots, folder, progress, **arguments)
    assert progress.done == NUM_RECORDS
    return contents(folder)


def one_by_one(
    records: Path, model: Path, roots: tuple[Path, ...], folder: Path
) -> dict[str, bytes]:
    """As it is specified: every record for itself, in whole."""
    encoder = open_text_encoder(model)
    with IndexWriter(
        folder,
        image_token_id=encoder.ids.image,
        num_image_tokens=NUM_IMAGE_TOKENS,
        pad_token_id=encoder.ids.pad,
        max_length=MAX_LENGTH,
        roots=roots,
    ) as writer:
        finder = ImageFinder(roots)
        for record in read_records(records):
            tokens = tokenize_record(record, encoder, NUM_IMAGE_TOKENS, max_length=MAX_LENGTH)
            root = None if record.image is None else finder.find(record.image)
            image = None if root is None else (root, str(record.image))
            writer.add(tokens, words=record.num_words, image=image)
    return contents(folder)


@pytest.fixture
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokenized, "_PART_BYTES", 5_000)
    monkeypatch.setattr("qinstruct_trainer.prep.index._MAX_UNSUPERVISED", 1.0)


@pytest.mark.usefixtures("_small_parts")
def test_one_process_and_three_write_what_single_records_make(
    records: Path, model: Path, roots: tuple[Path, ...], tmp_path: Path
) -> None:
    expected = one_by_one(records, model, roots, tmp_path / "expected")
    meta = json.loads(expected["meta.json"])
    assert 0 < meta["num_unsupervised"] < NUM_RECORDS / 2
    for processes in (1, 2, 3):
        assert index(records, model, roots, tmp_path / f"{processes}", processes) == expected


@pytest.mark.usefixtures("_small_parts")
def test_a_tokenizer_without_words_makes_the_same_index(
    records: Path,
    model: Path,
    roots: tuple[Path, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with_words = index(records, model, roots, tmp_path / "words", 1)
    monkeypatch.setattr(tokenized, "word_encoder", lambda *_: None)
    assert index(records, model, roots, tmp_path / "whole", 1) == with_words


@pytest.mark.usefixtures("_small_parts")
@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (('"id": "r777"', '"id": true'), r"record 777 .*its id is a truth value"),
        (('"r777"', '"r777'), r"records\.jsonl is damaged in line 778"),
        (('"r777"', "9" * 5_000), r"records\.jsonl is damaged in line 778"),
    ],
)
def test_a_fault_found_by_another_process_is_told_as_it_is(
    harm: tuple[str, str],
    words: str,
    records: Path,
    model: Path,
    roots: tuple[Path, ...],
    tmp_path: Path,
) -> None:
    lines = records.read_text().splitlines()
    assert harm[0] in lines[777]
    lines[777] = lines[777].replace(*harm)
    records.write_text("\n".join(lines))
    with pytest.raises(DataError, match=words):
        index(records, model, roots, tmp_path / "index", 2)


def test_nothing_large_is_imported_for_an_index(model: Path, tmp_path: Path) -> None:
    (tmp_path / "records.jsonl").write_text("")
    code = f"""
import sys
from pathlib import Path
from qinstruct_trainer.prep.index import write_index
from qinstruct_trainer.prep.progress import Progress
progress = Progress(lambda _: None, "index", "records", "records")
folder, model = Path({str(tmp_path)!r}), Path({str(model)!r})
write_index(folder / "records.jsonl", model, [], folder / "i", progress, max_length=9)
print(*sys.modules)
"""
    shown = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert "tokenizers" in shown.stdout.split()
    assert not {"torch", "transformers", "sentencepiece", "PIL"} & set(shown.stdout.split())
    assert os.listdir(tmp_path / "i")  # noqa: PTH208 - it was written
