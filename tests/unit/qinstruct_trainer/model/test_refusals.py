"""Damaged, incomplete or unsuitable checkpoints: each is refused in a sentence."""

import json
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from qinstruct_trainer.contract.errors import ConfigError, DataError, RunError, UnavailableError
from qinstruct_trainer.model.llava import load_checked, load_model
from support.model.checkpoints import (
    build,
    hub,
    original,
    vicuna,
    write_projector,
    write_torch,
)

LEGACY_VOCABULARY = ("language_model.model.embed_tokens.weight", "language_model.lm_head.weight")


def change(file: Path, edit: Callable[[dict[str, torch.Tensor]], None]) -> None:
    tensors = torch.load(file, weights_only=True)
    edit(tensors)
    torch.save(tensors, file)


class Malicious:
    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return eval, ("1/0",)


def lose_key(root: Path) -> None:
    change(
        root / "projector/mm_projector.bin",
        lambda tensors: tensors.__delitem__("model.mm_projector.2.bias"),
    )


def add_key(root: Path) -> None:
    change(
        root / "projector/mm_projector.bin",
        lambda tensors: tensors.update({"model.mm_projector.4.bias": torch.ones(2)}),
    )


def add_layer(root: Path) -> None:
    change(
        root / "vicuna/pytorch_model-00001-of-00002.bin",
        lambda tensors: tensors.update({"model.layers.2.mlp.up_proj.weight": torch.ones(2)}),
    )


def wrong_shape(root: Path) -> None:
    change(
        root / "projector/mm_projector.bin",
        lambda tensors: tensors.update({"model.mm_projector.0.bias": torch.ones(3)}),
    )


def malicious_pickle(root: Path) -> None:
    with (root / "projector/mm_projector.bin").open("wb") as file:
        torch.save({"model.mm_projector.0.weight": Malicious()}, file, pickle_module=pickle)


def plain_pickle(root: Path) -> None:
    (root / "projector/mm_projector.bin").write_bytes(pickle.dumps({"a": 1}))


def no_tensors(root: Path) -> None:
    torch.save([1, 2], root / "projector/mm_projector.bin")


def truncated_torch(root: Path) -> None:
    file = root / "projector/mm_projector.bin"
    file.write_bytes(file.read_bytes()[:-900])


def truncated_safetensors(root: Path) -> None:
    (root / "clip/pytorch_model.bin").unlink()
    file = root / "clip/model.safetensors"
    save_file({"vision_model.a": torch.ones(100)}, file)
    file.write_bytes(file.read_bytes()[:-8])


def html_instead_of_weights(root: Path) -> None:
    (root / "projector/mm_projector.bin").write_text("<!DOCTYPE html><html></html>")


def lost_shard(root: Path) -> None:
    (root / "vicuna/pytorch_model-00002-of-00002.bin").unlink()


def escaping_shard(root: Path) -> None:
    index = root / "vicuna/pytorch_model.bin.index.json"
    index.write_text(json.dumps({"weight_map": {"a": "../../etc/passwd"}}))


def broken_index(root: Path) -> None:
    (root / "vicuna/pytorch_model.bin.index.json").write_text("[]")


def no_weights(root: Path) -> None:
    (root / "clip/pytorch_model.bin").unlink()


def no_tokenizer(root: Path) -> None:
    (root / "vicuna/tokenizer.model").unlink()


def broken_tokenizer(root: Path) -> None:
    (root / "vicuna/tokenizer.model").write_bytes(b"not a sentencepiece model")


def no_config(root: Path) -> None:
    (root / "vicuna/config.json").unlink()


def broken_config(root: Path) -> None:
    (root / "clip/config.json").write_text("{")


def config_is_a_list(root: Path) -> None:
    (root / "clip/config.json").write_text("[]")


def set_field(file: Path, field: str, value: object) -> None:
    document = json.loads(file.read_text())
    document[field] = value
    file.write_text(json.dumps(document))


def wrong_vocabulary(root: Path) -> None:
    set_field(root / "vicuna/config.json", "vocab_size", 17)


def impossible_config(root: Path) -> None:
    set_field(root / "vicuna/config.json", "num_attention_heads", 5)


def other_variant(root: Path) -> None:
    set_field(root / "vicuna/config.json", "mm_projector_type", "linear")


def text_tower_only(root: Path) -> None:
    write_torch(root / "clip", {"text_model.x": torch.ones(1)})


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lose_key, "lacks 1 of"),
        (add_key, "unknown tensor model.mm_projector.4.bias"),
        (add_layer, "model.layers.2.mlp.up_proj.weight, which a model of its config.json"),
        (wrong_shape, r"model.mm_projector.0.bias as \[3\]"),
        (malicious_pickle, "more than tensors"),
        (plain_pickle, "torch file|more than tensors"),
        (no_tensors, "no dictionary of tensors"),
        (truncated_torch, "not a complete torch file"),
        (truncated_safetensors, "not a complete safetensors file"),
        (html_instead_of_weights, "torch file|more than tensors"),
        (lost_shard, "lacks the shard pytorch_model-00002"),
        (escaping_shard, "no plain file name"),
        (broken_index, "not the index"),
        (no_weights, "has no weights"),
        (no_tokenizer, "neither tokenizer.model nor"),
        (broken_tokenizer, "no tokenizer that loads"),
        (no_config, "no readable config.json"),
        (broken_config, "not JSON"),
        (config_is_a_list, "not a JSON object"),
        (wrong_vocabulary, "vocab_size 17"),
        (impossible_config, "describes no model"),
        (other_variant, "mm_projector_type 'linear'"),
        (text_tower_only, "lacks"),
    ],
)
def test_damaged_sources_are_refused_in_a_sentence(
    damage: Callable[[Path], None], words: str, tmp_path: Path
) -> None:
    source = vicuna(tmp_path)
    damage(tmp_path)
    with pytest.raises(DataError, match=words) as caught:
        build(source, tmp_path / "model")
    assert "\n" not in str(caught.value)
    assert "/tmp/tmp" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"projector": None}, ConfigError, "needs projector"),
        ({"vision_tower": None}, ConfigError, "needs vision_tower"),
        ({"base": "vicuna"}, ConfigError, "neither a folder"),
        ({"base": "http://example.invalid/x"}, ConfigError, "neither a folder"),
        ({"base": "/nowhere/vicuna"}, UnavailableError, "is not there"),
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
    with pytest.raises(DataError, match="starts from Vicuna"):
        build(source, tmp_path / "model")
    source = original(tmp_path, tower=True)
    write_projector(tmp_path / "projector")
    mixed = source.model_copy(update={"kind": "vicuna", "projector": f"{tmp_path}/projector"})
    with pytest.raises(DataError, match="unknown tensor"):
        build(mixed, tmp_path / "other")


def test_hub_layout_with_another_image_token_is_refused(tmp_path: Path) -> None:
    source = hub(tmp_path)
    set_field(Path(source.base) / "config.json", "image_token_index", 5)
    with pytest.raises(DataError, match="image_token_index 5"):
        build(source, tmp_path / "model")


def test_loading_refuses_what_transformers_only_warns_about(tmp_path: Path) -> None:
    folder = build(vicuna(tmp_path), tmp_path / "model")
    tensors = load_file(folder / "model.safetensors")
    del tensors["multi_modal_projector.linear_1.bias"]
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(DataError, match=r"1 missing keys, the first is .*linear_1.bias"):
        load_checked(folder, precision="fp32")
    tensors["multi_modal_projector.linear_1.bias"] = torch.ones(3)
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(DataError):
        load_checked(folder, precision="fp32")
    with pytest.raises(DataError, match="cannot be loaded"):
        load_checked(tmp_path, precision="fp32")


def test_flash_attention_without_the_package_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="sdpa"):
        load_model(tmp_path, precision="bf16", attention="flash_attention_2")
