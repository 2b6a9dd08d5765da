import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from transformers import GenerationConfig, LlavaForConditionalGeneration

from qinstruct_trainer.builtin.model import NUM_IMAGE_TOKENS, write_tiny_model
from qinstruct_trainer.contract.errors import DataError
from qinstruct_trainer.data.tokenizer import load_tokenizer
from support.model.builtin import write_small_model

TEXTS = ["Is this image blurry?", "The image is too dark, its quality is poor.", "Yes.", "No."] * 3


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small_model(tmp_path_factory.mktemp("tiny"), TEXTS)


def test_a_folder_without_a_tokenizer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"neither tokenizer\.model nor"):
        write_tiny_model(tmp_path / "model", tokenizer_folder=tmp_path, seed=0)


def test_every_key_of_the_checkpoint_is_the_models(model_folder: Path) -> None:
    # With output_loading_info it returns a pair, which its annotation does not say.
    loaded: Any = LlavaForConditionalGeneration.from_pretrained(
        model_folder, output_loading_info=True
    )
    model, info = loaded
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    assert not info["mismatched_keys"]
    assert model.dtype == torch.float32


def test_it_says_how_to_generate(model_folder: Path) -> None:
    tokenizer = load_tokenizer(model_folder)
    config = GenerationConfig.from_pretrained(model_folder)
    assert config.do_sample is False
    assert (config.bos_token_id, config.eos_token_id, config.pad_token_id) == (
        *(tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id),
    )


def test_names_on_disk_are_those_of_the_hub(model_folder: Path) -> None:
    with safe_open(model_folder / "model.safetensors", "pt") as tensors:
        names = set(tensors.keys())
    assert "language_model.lm_head.weight" in names
    assert "language_model.model.embed_tokens.weight" in names
    assert "multi_modal_projector.linear_1.weight" in names
    assert "vision_tower.vision_model.encoder.layers.0.mlp.fc1.weight" in names
    prefixes = {"language_model", "multi_modal_projector", "vision_tower"}
    assert {name.split(".")[0] for name in names} == prefixes


def test_the_vocabulary_is_laid_out_as_the_published_one(model_folder: Path) -> None:
    config = json.loads((model_folder / "config.json").read_text("utf-8"))
    tokenizer = load_tokenizer(model_folder)
    assert config["image_token_index"] == tokenizer.convert_tokens_to_ids("<image>")
    assert config["image_token_index"] == len(tokenizer) - 2
    assert tokenizer.pad_token_id == len(tokenizer) - 1
    assert config["text_config"]["vocab_size"] % 64 == 0
    assert config["text_config"]["vocab_size"] >= len(tokenizer)
    assert config["image_seq_length"] == NUM_IMAGE_TOKENS


def test_the_seed_decides_the_weights(model_folder: Path, tmp_path: Path) -> None:
    same = write_small_model(tmp_path / "same", TEXTS)
    other = write_small_model(tmp_path / "other", TEXTS, seed=8)
    weights = (model_folder / "model.safetensors").read_bytes()
    assert (same / "model.safetensors").read_bytes() == weights
    assert (other / "model.safetensors").read_bytes() != weights
