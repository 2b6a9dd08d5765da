"""What is read without transformers is what transformers loads; damage is a sentence."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from qinstruct_trainer.contract.errors import DataError
from qinstruct_trainer.data.encode import text_encoder
from qinstruct_trainer.data.text_encoder import open_text_encoder, read_token_ids
from qinstruct_trainer.data.tokenizer import load_tokenizer
from qinstruct_trainer.model.processing import add_tokens
from support.model.builtin import write_small_model


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_small_model(tmp_path, ["Is it sharp?", "Rather dim."] * 20)


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("kind", ["LlamaTokenizer", "LlamaTokenizerFast", "TokenizersBackend"])
def test_it_is_what_transformers_loads(
    kind: str, legacy: bool, folder: Path, tmp_path: Path
) -> None:
    path = folder / "tokenizer_config.json"
    config = json.loads(path.read_text("utf-8"))
    path.write_text(json.dumps(config | {"legacy": legacy, "tokenizer_class": kind}), "utf-8")
    tokenizer = load_tokenizer(folder)
    add_tokens(tokenizer)
    tokenizer.init_kwargs["legacy"] = legacy
    tokenizer.save_pretrained(tmp_path / "saved")
    loaded = text_encoder(load_tokenizer(tmp_path / "saved"))
    read = open_text_encoder(tmp_path / "saved")
    assert read.backend.to_str() == loaded.backend.to_str()
    assert read.ids == loaded.ids == read_token_ids(tmp_path / "saved")
    assert read.words == loaded.words
    assert read.words is not None
    assert read.words.space_behind_added == (legacy and kind != "TokenizersBackend")


def change(**values: Any) -> Callable[[dict[str, Any]], None]:
    return lambda document: document.update(values)


def without_image(document: dict[str, Any]) -> None:
    document["added_tokens"] = [
        token for token in document["added_tokens"] if token["content"] != "<image>"
    ]


@pytest.mark.parametrize(
    ("name", "harm", "words"),
    [
        ("tokenizer.json", change(post_processor=None), "does not begin a text with its begin"),
        ("tokenizer.json", without_image, "has no <image>, or no end token"),
        ("tokenizer.json", change(decoder={"type": "Fuse", "x": 1}, version="9"), "does not load"),
        ("tokenizer_config.json", change(eos_token=None), "has no <image>, or no end token"),
        ("tokenizer_config.json", change(bos_token=None), "does not begin a text with its begin"),
        ("tokenizer_config.json", change(bos_token=3), "its 'bos_token' is 3"),
        ("tokenizer.json", change(model={"type": "Unigram"}), "its model is not a BPE"),
    ],
)
def test_a_damaged_one_is_a_sentence(
    name: str, harm: Callable[[dict[str, Any]], None], words: str, folder: Path
) -> None:
    document = json.loads((folder / name).read_text("utf-8"))
    harm(document)
    (folder / name).write_text(json.dumps(document), "utf-8")
    with pytest.raises(DataError, match=words) as caught:
        open_text_encoder(folder)
    assert "\n" not in str(caught.value)


def test_a_folder_without_one_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"has no readable tokenizer\.json"):
        read_token_ids(tmp_path)
