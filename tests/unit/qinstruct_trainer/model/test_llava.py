"""Loading for training: whole, or refused; the tower frozen, everything else trained."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from qinstruct_trainer.contract.errors import ConfigError, DataError
from qinstruct_trainer.model.export import dry_run_export
from qinstruct_trainer.model.llava import (
    count_parameters,
    freeze_tower,
    load_checked,
    load_model,
    sane_generation_config,
    trainable_parameters,
)
from support.model.checkpoints import build, vicuna
from support.model.tiny import PAD_TOKEN, tiny_config, tiny_model


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


def test_counts_and_names_leave_the_frozen_tower_out() -> None:
    model = tiny_model()
    freeze_tower(model)
    count = count_parameters(model)
    names = [name for name, _ in trainable_parameters(model)]
    assert not any("vision_tower" in name for name in names)
    assert sum(value.numel() for _, value in trainable_parameters(model)) == count.trainable
    tower = sum(value.numel() for value in model.model.vision_tower.parameters())
    assert count.total == count.trainable + tower


def test_a_loaded_model_is_ready_to_train(tmp_path: Path) -> None:
    folder = build(vicuna(tmp_path), tmp_path / "model")
    model = load_model(folder, precision="bf16", attention="eager")
    assert {value.dtype for value in model.parameters()} == {torch.bfloat16}
    assert model.config._attn_implementation == "eager"
    assert model.model.language_model.training
    assert not model.model.vision_tower.training
    trained = {name.split(".")[1] for name, _ in trainable_parameters(model.model)}
    assert "vision_tower" not in {
        name.split(".")[0] for name, _ in trainable_parameters(model.model)
    }
    assert trained


def test_a_loaded_model_can_be_saved_whatever_its_checkpoint_says_of_generation(
    tmp_path: Path,
) -> None:
    folder = build(vicuna(tmp_path), tmp_path / "model")
    path = folder / "generation_config.json"
    path.write_text(json.dumps({"do_sample": False, "temperature": 0.9, "top_p": 0.6}))
    model = load_model(folder, precision="fp32", attention="sdpa")
    expected = sane_generation_config(model.config)
    assert model.generation_config.to_diff_dict() == expected.to_diff_dict()
    dry_run_export(model, folder, tmp_path / "export")


def test_generation_is_greedy_with_the_special_tokens_of_the_model() -> None:
    generation = sane_generation_config(tiny_config())
    assert not generation.do_sample
    assert generation.pad_token_id == PAD_TOKEN
    assert (generation.bos_token_id, generation.eos_token_id) == (1, 2)
