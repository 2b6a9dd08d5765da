"""Tokenizer and image processor: read alone, given two tokens, written for every tool."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from tokenizers import pre_tokenizers
from transformers import CLIPVisionConfig, GenerationConfig, LlavaConfig, LlavaProcessor

from qinstruct_trainer.contract.errors import DataError
from qinstruct_trainer.data.text_encoder import open_text_encoder
from qinstruct_trainer.data.tokenizer import load_tokenizer
from qinstruct_trainer.model.processing import add_tokens, read_tokenizer, write_processing
from support.model.checkpoints import build, vicuna, write_original


def test_processing_files_serve_transformers_and_the_trainer(tmp_path: Path) -> None:
    source = vicuna(tmp_path)
    folder = build(source, tmp_path / "model")
    before, after = load_tokenizer(Path(source.base)), load_tokenizer(folder)
    text = "USER: is  this image ünclear 火 ?\nASSISTANT: 12 no</s>"
    assert before(text).input_ids == after(text).input_ids
    num_tokens = len(before)
    assert after.convert_tokens_to_ids(["<image>", "<pad>"]) == [num_tokens, num_tokens + 1]
    assert after.pad_token == "<pad>"
    assert (folder / "tokenizer.model").exists()
    processor: Any = LlavaProcessor.from_pretrained(folder, local_files_only=True)
    assert processor.image_processor.do_pad
    inputs = processor(images=Image.new("RGB", (40, 20)), text="<image>\nis", return_tensors="pt")
    assert inputs["pixel_values"].shape == (1, 3, 28, 28)
    assert (inputs["input_ids"] == num_tokens).sum() == 4
    older = json.loads((folder / "preprocessor_config.json").read_bytes())  # where they look for it
    assert (older["do_pad"], older["crop_size"]) == (True, {"height": 28, "width": 28})
    generation = GenerationConfig.from_pretrained(folder)
    assert not generation.do_sample
    generation.save_pretrained(tmp_path / "again")  # Vicuna's own would raise here


@pytest.mark.parametrize("legacy", [True, False])
def test_a_tokenizer_of_either_kind_stays_what_it_is(legacy: bool, tmp_path: Path) -> None:
    source = vicuna(tmp_path)
    path = Path(source.base) / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | {"legacy": legacy}), "utf-8")
    folder = build(source, tmp_path / "model")
    text = "no</s>USER: this"
    ids = load_tokenizer(Path(source.base))(text).input_ids
    assert load_tokenizer(folder)(text).input_ids == ids
    assert open_text_encoder(folder).backend.encode(text).ids == ids


def test_a_tokenizer_that_would_load_as_another_is_refused(tmp_path: Path) -> None:
    write_original(tmp_path / "llava", tower=False)
    tokenizer = read_tokenizer(tmp_path / "llava")
    num_tokens = len(tokenizer)
    add_tokens(tokenizer)
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never")
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(image_size=28, patch_size=14), image_token_index=num_tokens
    )
    (tmp_path / "model").mkdir()
    with pytest.raises(DataError, match="becomes another one when it is saved"):
        write_processing(tmp_path / "model", config, tokenizer, tmp_path / "llava")


def test_a_config_that_means_something_else_to_transformers_is_not_read(
    tmp_path: Path,
) -> None:
    write_original(tmp_path / "llava", tower=False)  # its model type is llava
    assert read_tokenizer(tmp_path / "llava").bos_token_id == 1


def test_tokens_are_added_once(tmp_path: Path) -> None:
    write_original(tmp_path / "llava", tower=False)
    tokenizer = read_tokenizer(tmp_path / "llava")
    num_tokens = len(tokenizer)
    for _ in range(2):
        add_tokens(tokenizer)
        assert len(tokenizer) == num_tokens + 2
        assert tokenizer.pad_token_id == num_tokens + 1


def no_tokenizer(root: Path) -> None:
    (root / "vicuna/tokenizer.model").unlink()


def broken_tokenizer(root: Path) -> None:
    (root / "vicuna/tokenizer.model").write_bytes(b"not a sentencepiece model")


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (no_tokenizer, "neither tokenizer.model nor"),
        (broken_tokenizer, "no sentencepiece model"),
    ],
)
def test_a_folder_without_a_usable_tokenizer_is_refused_in_a_sentence(
    damage: Callable[[Path], None], words: str, tmp_path: Path
) -> None:
    source = vicuna(tmp_path)
    damage(tmp_path)
    with pytest.raises(DataError, match=words) as caught:
        build(source, tmp_path / "model")
    assert "\n" not in str(caught.value)
    assert "/tmp/tmp" not in str(caught.value)  # the folder that it is copied to
