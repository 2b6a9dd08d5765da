"""A tokenizer is probed when it is loaded: one that would mislead is refused."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from qinstruct_trainer.builtin.tokenizer import write_tiny_tokenizer
from qinstruct_trainer.contract.errors import DataError
from qinstruct_trainer.data.tokenizer import Tokenizer, load_tokenizer


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    path = tmp_path_factory.mktemp("tokenizer")
    write_tiny_tokenizer(path, ["Is it sharp?", "Yes, it is."] * 20)
    return load_tokenizer(path)


def _remove_post_processor(folder: Path) -> None:
    path = folder / "tokenizer.json"
    state = json.loads(path.read_text("utf-8"))
    path.write_text(json.dumps(state | {"post_processor": None}), "utf-8")


def _remove_all(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()


def _break(folder: Path) -> None:
    for path in folder.iterdir():
        path.write_bytes(b"not a tokenizer")


def _remove_end_token(folder: Path) -> None:
    path = folder / "tokenizer_config.json"
    config = json.loads(path.read_text("utf-8"))
    path.write_text(json.dumps(config | {"eos_token": None}), "utf-8")


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (_remove_post_processor, "checkpoint does not begin a text with <s>; its tokenizer.json"),
        (_remove_end_token, "checkpoint has no begin or end token; tokenizer_config.json must"),
        (_remove_all, r"checkpoint has no tokenizer that loads \(ValueError: .*\); a checkpoint"),
        (_break, r"checkpoint/tokenizer.json is not JSON; fetch"),
    ],
)
def test_a_tokenizer_that_would_mislead_is_refused(
    damage: Callable[[Path], None], reason: str, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    folder = tmp_path / "checkpoint"
    tokenizer.save_pretrained(folder)
    assert load_tokenizer(folder)("Is it sharp?").input_ids[0] == tokenizer.bos_token_id
    damage(folder)
    with pytest.raises(DataError, match=reason):
        load_tokenizer(folder)
