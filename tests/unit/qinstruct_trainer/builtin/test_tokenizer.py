"""The small tokenizer: the true Llama format, reproducible, and able to spell any text."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sentencepiece import SentencePieceProcessor
from transformers import AutoTokenizer

from qinstruct_trainer.builtin.tokenizer import write_tiny_tokenizer
from qinstruct_trainer.data.tokenizer import Tokenizer, load_tokenizer

TEXTS = ["Is this image blurry?", "The image is too dark, its quality is poor.", "Yes.", "No."] * 3


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tokenizer")
    write_tiny_tokenizer(path, TEXTS)
    return path


@pytest.fixture(scope="module")
def tokenizer(folder: Path) -> Tokenizer:
    return load_tokenizer(folder)


def test_the_same_texts_give_the_same_tokenizer(folder: Path, tmp_path: Path) -> None:
    write_tiny_tokenizer(tmp_path, iter(TEXTS))
    for name in ("tokenizer.model", "tokenizer_config.json"):
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()


def test_the_tokenizer_is_a_true_llama_one(folder: Path) -> None:
    pieces = SentencePieceProcessor(model_proto=(folder / "tokenizer.model").read_bytes())
    assert [pieces.id_to_piece(number) for number in range(4)] == ["<unk>", "<s>", "</s>", "<0x00>"]
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert len(tokenizer) == pieces.get_piece_size()
    text = "Is this image blurry? Yes."
    assert tokenizer(text).input_ids == [tokenizer.bos_token_id, *pieces.encode(text)]


# NUL and U+2581 are not text to sentencepiece; one leading space is its dummy prefix.
@given(
    text=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\u2581")).filter(
        lambda text: text == text.lstrip(" ") and "<" not in text
    )
)
def test_any_text_survives_the_tokenizer(tokenizer: Tokenizer, text: str) -> None:
    ids = tokenizer(text).input_ids
    assert tokenizer.decode(ids, skip_special_tokens=True) == text
    assert tokenizer.unk_token_id not in ids
