"""The model stage: what it builds from, what it refuses, and the text of a tiny tokenizer."""

import json
from pathlib import Path

import pytest
from transformers import AutoTokenizer

from qinstruct_trainer.builtin.tokenizer import write_tiny_tokenizer
from qinstruct_trainer.contract.config import ModelSource
from qinstruct_trainer.contract.errors import ConfigError, DataError, RunError, UnavailableError
from qinstruct_trainer.data.conversation import END_TOKEN, IMAGE_TOKEN, SYSTEM
from qinstruct_trainer.data.tokenizer import load_tokenizer
from qinstruct_trainer.model.llava import load_model
from qinstruct_trainer.prep.model import build_model, read_texts
from support.model.builtin import read_array, write_small_builtin
from support.model.checkpoints import build, hub, original, vicuna, write_projector


def test_the_tiny_tokenizer_knows_the_prompt_by_its_words(tmp_path: Path) -> None:
    """In syllables the prompt, which every record begins with, would be half of all tokens."""
    data = write_small_builtin(tmp_path / "data")
    records = tmp_path / "records.jsonl"
    records.write_text("".join(f"{json.dumps(one)}\n" for one in read_array(data / "labels.json")))
    texts = list(read_texts(records))
    assert not [text for text in texts if IMAGE_TOKEN in text or END_TOKEN in text or not text]

    write_tiny_tokenizer(tmp_path / "tokenizer", texts)

    pieces = AutoTokenizer.from_pretrained(tmp_path / "tokenizer").tokenize(SYSTEM)
    num_signs = sum(not sign.isalnum() and sign != " " for sign in SYSTEM)
    assert len(pieces) <= len(SYSTEM.split()) + num_signs + 1  # the s of user's


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (
            {"projector": None},
            ConfigError,
            r"vicuna \(.*/vicuna\) needs projector; name a folder or a hub repository for it$",
        ),
        (
            {"vision_tower": None},
            ConfigError,
            r"vicuna \(.*/vicuna\) needs vision_tower; name a folder or a hub repository for it$",
        ),
        (
            {"base": "vicuna"},
            ConfigError,
            "model source 'vicuna' is neither a folder, a file:// URL, nor a repository owner/name",
        ),
        ({"base": "http://example.invalid/x"}, ConfigError, "neither a folder"),
        (
            {"base": "/nowhere/vicuna"},
            UnavailableError,
            "/nowhere/vicuna is not there; model.base must name an existing folder",
        ),
    ],
)
def test_incomplete_sources_are_refused_in_a_sentence(
    change: dict[str, str | None], error: type[RunError], words: str, tmp_path: Path
) -> None:
    source = vicuna(tmp_path).model_copy(update=change)
    with pytest.raises(error, match=words):
        build(source, tmp_path / "model")


def test_mix_does_not_start_from_a_llava(tmp_path: Path) -> None:
    source = hub(tmp_path).model_copy(update={"kind": "vicuna"})
    with pytest.raises(
        DataError, match="is a LLaVA checkpoint, strategy mix starts from Vicuna; correct"
    ):
        build(source, tmp_path / "model")
    source = original(tmp_path, tower=True)
    write_projector(tmp_path / "projector")
    mixed = source.model_copy(update={"kind": "vicuna", "projector": f"{tmp_path}/projector"})
    with pytest.raises(DataError, match="unknown tensor"):
        build(mixed, tmp_path / "other")


def test_tiny_is_built_from_nothing_and_loads(tmp_path: Path) -> None:
    folder = build(ModelSource(kind="tiny"), tmp_path / "tiny")
    model = load_model(folder, precision="fp32", attention="sdpa")
    assert model.config.image_token_index == len(load_tokenizer(folder)) - 2


def test_hub_layout_with_another_image_token_is_refused(tmp_path: Path) -> None:
    source = hub(tmp_path)
    path = Path(source.base) / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"image_token_index": 5}))
    with pytest.raises(DataError, match="image_token_index 5"):
        build(source, tmp_path / "model")


def test_progress_of_a_tiny_model_ends_at_its_size(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    (tmp_path / "tiny").mkdir()
    build_model(
        ModelSource(kind="tiny"),
        tmp_path / "tiny",
        seed=0,
        texts=["Is it sharp?", "Yes."] * 20,
        progress=lambda done, total: told.append((done, total)),
    )
    size = sum(file.stat().st_size for file in (tmp_path / "tiny").iterdir())
    assert told == [(size, size)]
