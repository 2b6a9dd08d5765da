"""Encoding with a small tokenizer of the true format (equality with the original: tests/oracle)."""

from pathlib import Path

import pytest

from qinstruct_trainer.builtin.tokenizer import write_tiny_tokenizer
from qinstruct_trainer.data.conversation import SYSTEM
from qinstruct_trainer.data.encode import encode_record, image_token_id
from qinstruct_trainer.data.records import Record, Turn
from qinstruct_trainer.data.tokenizer import Tokenizer, load_tokenizer

TURNS = (
    Turn("human", "Is it sharp?\n<image>"),
    Turn("gpt", "Yes, it is."),
    Turn("human", "Why? <pad>"),
    Turn("gpt", "锐利 👍"),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tokenizer")
    write_tiny_tokenizer(path, [SYSTEM, *(turn.text for turn in TURNS)] * 20)
    return path


@pytest.fixture(scope="module")
def tokenizer(folder: Path) -> Tokenizer:
    return load_tokenizer(folder)


def test_what_is_learnt_is_what_was_answered(tokenizer: Tokenizer) -> None:
    encoded = encode_record(Record("r", "a.jpg", TURNS), tokenizer, num_image_tokens=4)
    learnt = encoded.labels[encoded.labels != -100]
    assert str(tokenizer.decode(learnt)).replace("</s> ", "</s>") == "Yes, it is.</s>锐利 👍</s>"
    ((start, length),) = encoded.image_runs
    assert length == 4
    image_id = image_token_id(tokenizer)
    assert (encoded.input_ids == image_id).nonzero()[0].tolist() == list(range(start, start + 4))


def test_a_text_only_record_spells_the_image_token(tokenizer: Tokenizer) -> None:
    encoded = encode_record(Record("r", None, TURNS), tokenizer)
    assert encoded.image_runs == ()
    assert image_token_id(tokenizer) not in encoded.input_ids
    assert "<image>" in tokenizer.decode(encoded.input_ids)


def test_a_cut_goes_through_the_image(tokenizer: Tokenizer) -> None:
    record = Record("r", "a.jpg", TURNS)
    whole = encode_record(record, tokenizer, num_image_tokens=50)
    ((start, _),) = whole.image_runs
    cut = encode_record(record, tokenizer, num_image_tokens=50, max_length=start + 20)
    assert cut.image_runs == ((start, 20),)
    assert cut.input_ids.tolist() == whole.input_ids[: start + 20].tolist()


def test_the_published_lengths_are_the_defaults(tokenizer: Tokenizer) -> None:
    turns = (TURNS[0], Turn("gpt", "Yes, it is. " * 1000))
    encoded = encode_record(Record("r", "a.jpg", turns), tokenizer)
    assert [length for _, length in encoded.image_runs] == [576]
    assert len(encoded.input_ids) == len(encoded.labels) == 2048
