"""Loading for training: whole, or refused; the tower frozen, everything else trained."""

import json
import shutil
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import LlavaForConditionalGeneration

from qinstruct_trainer.contract.config import Precision
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

Load = Callable[..., LlavaForConditionalGeneration]
LOADERS: tuple[Load, ...] = (load_checked, partial(load_model, attention="sdpa"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("llava")
    return build(vicuna(root), root / "model")


@pytest.mark.parametrize("load", LOADERS)
@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"multi_modal_projector.linear_1.bias": None}, r"lacks 1 of 80 .*linear_1\.bias"),
        ({"multi_modal_projector.linear_1.bias": torch.ones(3)}, r"linear_1\.bias as \[3\]"),
        ({"language_model.model.norm.weight": torch.ones(16)}, r"norm\.weight as \[16\]"),
        (
            {"language_model.model.layers.9.input_layernorm.weight": torch.ones(32)},
            r"layers\.9\..* which a model of its config\.json does not have",
        ),
        ({"something.else": torch.ones(3)}, r"unknown tensor something\.else"),
        (
            {"multi_modal_projector.linear_1.bias": torch.ones(32, dtype=torch.int64)},
            r"linear_1\.bias as torch\.int64, which is no number that can be trained",
        ),
    ],
    ids=["missing", "misshapen", "misshapen norm", "one layer more", "unknown", "whole numbers"],
)
def test_loading_refuses_what_transformers_only_warns_about(
    change: dict[str, torch.Tensor | None], sentence: str, load: Load, folder: Path, tmp_path: Path
) -> None:
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    tensors = load_file(folder / "model.safetensors") | change
    kept = {name: value for name, value in tensors.items() if value is not None}
    save_file(kept, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(DataError, match=sentence):
        load(tmp_path, precision="fp32")


@pytest.mark.parametrize("load", LOADERS)
def test_a_folder_without_a_model_is_refused(load: Load, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"has no readable config\.json"):
        load(tmp_path, precision="fp32")


@pytest.mark.parametrize("load", LOADERS)
@pytest.mark.parametrize(
    "config", ['{"vision_config": 3}', '{"text_config": {"hidden_size": "x"}}']
)
def test_a_config_that_describes_no_llava_is_refused(
    config: str, load: Load, folder: Path, tmp_path: Path
) -> None:
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    (tmp_path / "config.json").write_text(config)
    with pytest.raises(DataError, match="describes no model that can be trained here"):
        load(tmp_path, precision="fp32")


@pytest.mark.parametrize("precision", ["bf16", "fp32"])
def test_a_model_to_train_has_the_parameters_and_buffers_that_transformers_loads(
    precision: Precision, folder: Path
) -> None:
    plain = load_checked(folder, precision=precision)
    model = load_model(folder, precision=precision, attention="sdpa")
    for found, expected in (
        (model.named_parameters(), plain.named_parameters()),
        (model.named_buffers(), plain.named_buffers()),
    ):
        for (name, value), (other, same) in zip(found, expected, strict=True):
            assert name == other
            assert (value.dtype, value.device) == (same.dtype, same.device), name
            assert torch.equal(value, same), name


def test_each_module_is_placed_when_its_own_parameters_are_there(folder: Path) -> None:
    placed: list[str] = []

    def place(module: nn.Module, own: Iterable[nn.Parameter]) -> None:
        values = list(own)
        assert all(value is same for value, same in zip(values, _own(module), strict=True))
        assert not any(value.is_meta for value in values)
        placed.extend([type(module).__name__] * len(values))

    model = load_model(folder, precision="bf16", attention="sdpa", place=place)
    assert len(placed) == len(list(model.parameters()))
    assert placed.count("LlamaRMSNorm") == 5


def test_a_process_that_does_not_read_has_the_same_shapes(folder: Path) -> None:
    whole = load_model(folder, precision="bf16", attention="sdpa")
    empty = load_model(folder, precision="bf16", attention="sdpa", reads=False)
    for (name, value), (other, same) in zip(
        empty.named_parameters(), whole.named_parameters(), strict=True
    ):
        assert (name, value.shape, value.dtype) == (other, same.shape, same.dtype)


def _own(module: nn.Module) -> list[nn.Parameter]:
    return list(module.parameters(recurse=False))


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


def test_a_loaded_model_is_ready_to_train(folder: Path) -> None:
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
