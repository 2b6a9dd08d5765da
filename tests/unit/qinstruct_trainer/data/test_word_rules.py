"""Which tokenizers' texts fall apart into words."""

import json
from pathlib import Path
from typing import Any

import pytest

from qinstruct_trainer.data.word_rules import word_rules
from support.model.builtin import write_small_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small_model(tmp_path_factory.mktemp("model"), ["Is it sharp?", "Yes."] * 20)


def changes() -> dict[str, dict[str, Any]]:
    """What makes of a Llama's pipeline one whose texts may not fall apart."""
    token = {"single_word": False, "rstrip": False, "normalized": False, "lstrip": False}
    return {
        "a normalizer": {"normalizer": {"type": "Prepend", "prepend": "\u2581"}},
        "no splitter": {"pre_tokenizer": None},
        "another scheme": {"pre_tokenizer": {"prepend_scheme": "never"}},
        "split by it": {"pre_tokenizer": {"split": True}},
        "dropout": {"model": {"dropout": 0.1}},
        "whole words first": {"model": {"ignore_merges": True}},
        "unknown characters": {"model": {"byte_fallback": False}},
        "a token across words": {"model": {"vocab": {"a\u2581b": 5}}},
        "another decoder": {"decoder": {"decoders": []}},
        "an added token that takes spaces": {
            "added_tokens": [token | {"content": "<x>", "id": 5, "lstrip": True}]
        },
        "an added token that may overlap": {"added_tokens": [token | {"content": "x", "id": 5}]},
        "no added token": {"added_tokens": []},
    }


@pytest.mark.parametrize("change", changes().values(), ids=changes())
def test_another_pipeline_is_not_taken_apart(change: dict[str, Any], folder: Path) -> None:
    pipeline = json.loads((folder / "tokenizer.json").read_text("utf-8"))
    assert word_rules(pipeline) is not None
    ((part, value),) = change.items()
    if isinstance(value, dict):
        whole = pipeline[part] or {}
        if "vocab" in value:
            value = {"vocab": whole["vocab"] | value["vocab"]}
        value = whole | value
    assert word_rules(pipeline | {part: value}) is None
