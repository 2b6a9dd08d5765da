import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from sentencepiece import SentencePieceProcessor
from transformers import AutoTokenizer, LlavaForConditionalGeneration

from qinstruct_trainer.builtin.model import NUM_IMAGE_TOKENS, write_tiny_model
from qinstruct_trainer.builtin.tokenizer import write_tiny_tokenizer
from qinstruct_trainer.builtin.tower import cosine_filters
from qinstruct_trainer.contract.errors import DataError
from qinstruct_trainer.data.tokenizer import Tokenizer, load_tokenizer
from support.model.builtin import write_small_model

TEXTS = ["Is this image blurry?", "The image is too dark, its quality is poor.", "Yes.", "No."] * 3


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small_model(tmp_path_factory.mktemp("tiny"), TEXTS)


@pytest.fixture(scope="module")
def tokenizer(model_folder: Path) -> Tokenizer:
    return load_tokenizer(model_folder)


def test_the_same_texts_give_the_same_tokenizer(model_folder: Path, tmp_path: Path) -> None:
    write_tiny_tokenizer(tmp_path, iter(TEXTS))
    for name in ("tokenizer.model", "tokenizer_config.json"):
        assert (tmp_path / name).read_bytes() == (
            model_folder.parent / "tokenizer" / name
        ).read_bytes()


def test_the_tokenizer_is_a_true_llama_one(model_folder: Path) -> None:
    folder = model_folder.parent / "tokenizer"
    pieces = SentencePieceProcessor(model_proto=(folder / "tokenizer.model").read_bytes())
    assert [pieces.id_to_piece(number) for number in range(4)] == ["<unk>", "<s>", "</s>", "<0x00>"]
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert len(tokenizer) == pieces.get_piece_size()
    text = "Is this image blurry? Yes."
    assert tokenizer(text).input_ids == [tokenizer.bos_token_id, *pieces.encode(text)]


# NUL and U+2581 are not text to sentencepiece; one leading space is its dummy prefix.
@settings(deadline=None)
@given(
    text=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\u2581")).filter(
        lambda text: text == text.lstrip(" ") and "<" not in text
    )
)
def test_any_text_survives_the_tokenizer(tokenizer: Tokenizer, text: str) -> None:
    ids = tokenizer(text).input_ids
    assert tokenizer.decode(ids, skip_special_tokens=True) == text
    assert tokenizer.unk_token_id not in ids


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


def test_luminance_filters_are_orthogonal() -> None:
    filters = cosine_filters(14)
    planes = torch.stack([f[1] for f in filters if torch.allclose(f[0] * 0.587, f[1] * 0.299)])
    products = planes.flatten(1) @ planes.flatten(1).T
    assert len(planes) == 49
    assert (products - torch.diag(products.diag())).abs().max() < 1e-4


def test_the_tower_gives_coefficients_magnitudes_and_means(model_folder: Path) -> None:
    model = LlavaForConditionalGeneration.from_pretrained(model_folder)
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randn(2, 3, 112, 112, generator=generator)
    with torch.no_grad():
        states = model.model.vision_tower(pixels, output_hidden_states=True).hidden_states
    patches = states[-2][:, 1:]
    num_filters = len(cosine_filters(14))
    signed, magnitudes, means = patches[..., : 3 * num_filters].split(num_filters, dim=-1)
    assert signed.shape == (2, NUM_IMAGE_TOKENS, num_filters)

    def correlation(first: torch.Tensor, second: torch.Tensor) -> float:
        return float(torch.corrcoef(torch.stack([first.flatten(), second.flatten()]))[0, 1])

    assert correlation(signed.abs(), magnitudes) > 0.9
    # The same at all patches of an image, but for the shift by which layer normalisation centres.
    assert (means - means[..., :1]).std(dim=1).max() < 1e-5
    assert correlation(magnitudes.mean(dim=1), means.mean(dim=1)) > 0.9
