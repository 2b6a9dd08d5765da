"""The way back to the original's layout: the same tensors, bit for bit, and a sentence else."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor
from transformers import GenerationConfig

from qinstruct_trainer.contract.config import ModelSource
from qinstruct_trainer.contract.errors import ConfigError, DataError, RunError
from qinstruct_trainer.data.tokenizer import load_tokenizer
from qinstruct_trainer.model.convert import Progress
from qinstruct_trainer.model.original import write_original
from qinstruct_trainer.model.tensors import open_checkpoint
from support.model.checkpoints import TEXTS, build, original, vicuna, write_original_as

TOWER_NAME = "openai/clip-vit-large-patch14-336"
LAYOUTS = ("two shards", "one file", "safetensors")


def back(source: Path, folder: Path, *, with_tower: bool = True, shard: int = 1 << 30) -> Path:
    write_original(
        source,
        folder,
        vision_tower=TOWER_NAME,
        with_tower=with_tower,
        progress=lambda done, total: None,
        max_shard_bytes=shard,
    )
    return folder


def stored(folder: Path) -> dict[str, Tensor]:
    return {tensor.name: tensor.load() for tensor in open_checkpoint(folder)}


def assert_same(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name].dtype == value.dtype, name
        assert torch.equal(found[name], value), name


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("tower", [True, False])
def test_original_to_hub_to_original_is_bit_equal(
    tower: bool, layout: str, dtype: torch.dtype, tmp_path: Path
) -> None:
    source = original(tmp_path, tower=tower)
    there = tmp_path / "llava"
    expected = write_original_as(there, layout, dtype)
    folder = back(build(source, tmp_path / "hub"), tmp_path / "again", with_tower=tower)
    assert_same(stored(folder), expected)


def test_its_configuration_is_the_originals(tmp_path: Path) -> None:
    source = original(tmp_path, tower=True)
    folder = back(build(source, tmp_path / "hub"), tmp_path / "again")
    before, after = (
        json.loads((place / "config.json").read_text()) for place in (tmp_path / "llava", folder)
    )
    assert {name: after[name] for name in before} == before | {"model_type": "llava_llama"}
    assert after["mm_hidden_size"] == 24
    assert after["torch_dtype"] == "float16"
    generation = GenerationConfig.from_pretrained(folder)
    assert (generation.do_sample, generation.pad_token_id) == (False, 0)


def test_its_tokenizer_is_the_originals(tmp_path: Path) -> None:
    source = original(tmp_path, tower=True)
    folder = back(build(source, tmp_path / "hub"), tmp_path / "again")
    before, after = load_tokenizer(tmp_path / "llava"), load_tokenizer(folder)
    assert len(after) == len(before)
    text = f"{TEXTS[0]}</s>USER: <s> 2{TEXTS[1]}"
    assert after(text).input_ids == before(text).input_ids
    model = (folder / "tokenizer.model").read_bytes()
    assert model == (tmp_path / "llava" / "tokenizer.model").read_bytes()
    assert json.loads((folder / "tokenizer_config.json").read_text())["pad_token"] == "<unk>"


def test_small_shards_have_an_index_and_the_same_tensors(tmp_path: Path) -> None:
    hub = build(original(tmp_path, tower=True), tmp_path / "hub", max_shard_bytes=20_000)
    whole, parts = back(hub, tmp_path / "whole"), back(hub, tmp_path / "parts", shard=20_000)
    assert len(list(parts.glob("model-*-of-*.safetensors"))) > 3
    assert_same(stored(parts), stored(whole))


def test_it_goes_round_again_to_the_same_hub_checkpoint(tmp_path: Path) -> None:
    """Also of a mix, which never was in the original layout."""
    hub = build(vicuna(tmp_path), tmp_path / "hub")
    folder = back(hub, tmp_path / "llava")
    source = ModelSource(kind="llava", base=str(folder), vision_tower=str(tmp_path / "clip"))
    assert_same(stored(build(source, tmp_path / "again")), stored(hub))
    for name in ("config.json", "generation_config.json"):
        assert (tmp_path / "again" / name).read_bytes() == (hub / name).read_bytes()


def lose_tokenizer(hub: Path) -> None:
    (hub / "tokenizer.model").unlink()


def lose_weights(hub: Path) -> None:
    (hub / "model.safetensors").unlink()


def be_original(hub: Path) -> None:
    (hub / "config.json").write_text('{"mm_projector_type": "mlp2x_gelu"}')


def of_another_size(hub: Path) -> None:
    config = json.loads((hub / "config.json").read_text())
    config["text_config"]["num_hidden_layers"] += 1
    (hub / "config.json").write_text(json.dumps(config))


def with_another_image_token(hub: Path) -> None:
    config = json.loads((hub / "config.json").read_text())
    (hub / "config.json").write_text(json.dumps(config | {"image_token_index": 3}))


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (lose_tokenizer, "no tokenizer.model, the only tokenizer that the original LLaVA reads"),
        (lose_weights, "has no weights"),
        (be_original, "is not in the Hugging Face layout"),
        (of_another_size, r"lacks 9 of \d+ tensors"),
        (with_another_image_token, "image_token_index 3"),
    ],
)
def test_what_is_no_finished_model_is_refused_and_leaves_nothing(
    harm: Callable[[Path], None], words: str, tmp_path: Path
) -> None:
    hub = build(vicuna(tmp_path), tmp_path / "hub")
    harm(hub)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(DataError, match=words):
        back(hub, tmp_path / "llava")
    assert sorted(tmp_path.iterdir()) == before


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    hub = build(vicuna(tmp_path), tmp_path / "hub")
    with pytest.raises(ConfigError, match=r"lies in the model .*; name a folder outside of it"):
        back(hub, hub / "llava")
    with pytest.raises(ConfigError, match=r"hub is there already; name a new folder"):
        back(hub, hub)


def test_a_failure_on_the_way_leaves_nothing_and_a_killed_attempt_is_in_nobodys_way(
    tmp_path: Path,
) -> None:
    hub = build(vicuna(tmp_path), tmp_path / "hub")
    (tmp_path / ".llava.partial").mkdir()
    (tmp_path / ".llava.partial" / "left").touch()

    def stop(_done: int, _total: int) -> None:
        raise RunError("stopped")

    def try_it(progress: Progress) -> None:
        write_original(hub, tmp_path / "llava", vision_tower=TOWER_NAME, progress=progress)

    with pytest.raises(RunError, match="stopped"):
        try_it(stop)
    assert not list(tmp_path.glob("*llava*"))
    (tmp_path / ".llava.partial").mkdir()
    (tmp_path / ".llava.partial" / "left").touch()
    try_it(lambda done, total: None)
    assert not (tmp_path / "llava" / "left").exists()
