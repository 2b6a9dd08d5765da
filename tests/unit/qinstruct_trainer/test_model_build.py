"""Every published layout becomes the same checkpoint, bit for bit, or a sentence."""

import json
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import GenerationConfig, LlavaProcessor

from qinstruct_trainer.config import ModelSource
from qinstruct_trainer.data.tokenizer import load_tokenizer
from qinstruct_trainer.errors import ConfigError, DataError, RunError, UnavailableError
from qinstruct_trainer.model.files import open_checkpoint
from qinstruct_trainer.model.llava import load_checked, load_model
from qinstruct_trainer.prep.model import build_model
from support.model_checkpoints import (
    TEXTS,
    hub_tensors,
    write_clip,
    write_original,
    write_projector,
    write_torch,
    write_vicuna,
)

LEGACY_VOCABULARY = ("language_model.model.embed_tokens.weight", "language_model.lm_head.weight")


def build(source: ModelSource, folder: Path, max_shard_bytes: int = 1 << 30) -> Path:
    folder.mkdir()
    build_model(
        source,
        folder,
        seed=0,
        texts=TEXTS,
        progress=lambda done, total: None,
        max_shard_bytes=max_shard_bytes,
    )
    return folder


def vicuna(root: Path) -> ModelSource:
    write_vicuna(root / "vicuna")
    write_projector(root / "projector")
    write_clip(root / "clip")
    return ModelSource(
        kind="vicuna",
        base=str(root / "vicuna"),
        projector=f"file://{root}/projector/mm_projector.bin",
        vision_tower=str(root / "clip"),
    )


def original(root: Path, *, tower: bool) -> ModelSource:
    write_original(root / "llava", tower=tower)
    write_clip(root / "clip", safetensors=True)
    return ModelSource(kind="llava", base=f"file://{root}/llava", vision_tower=str(root / "clip"))


def hub(root: Path) -> ModelSource:
    """A llava-hf checkpoint: what we write has that layout, so it is its own miniature."""
    first = root / "first"
    first.mkdir()
    return ModelSource(kind="llava", base=str(build(vicuna(first), root / "hub")))


def stored(folder: Path) -> dict[str, torch.Tensor]:
    return {tensor.name: tensor.load() for tensor in open_checkpoint(folder)}


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(vicuna, id="vicuna, projector and CLIP"),
        pytest.param(lambda root: original(root, tower=True), id="original LLaVA"),
        pytest.param(lambda root: original(root, tower=False), id="original LLaVA without tower"),
        pytest.param(hub, id="llava-hf"),
    ],
)
def test_every_layout_gives_the_same_checkpoint(
    make: Callable[[Path], ModelSource], tmp_path: Path
) -> None:
    folder = build(make(tmp_path), tmp_path / "model")
    written = stored(folder)
    config = json.loads((folder / "config.json").read_text())
    num_text_tokens = config["image_token_index"]
    expected = hub_tensors(num_text_tokens)
    assert written.keys() == expected.keys()
    for name, tensor in expected.items():
        rows = written[name]
        if name in LEGACY_VOCABULARY:
            assert rows.shape[0] % 64 == 0
            mean = tensor.float().mean(dim=0).to(tensor.dtype)
            assert torch.equal(rows[num_text_tokens:], mean.expand_as(rows[num_text_tokens:]))
            rows = rows[:num_text_tokens]
        assert rows.dtype == tensor.dtype
        assert torch.equal(rows, tensor), name
    model = load_model(folder, precision="fp32", attention="sdpa")  # every key matches
    query = model.model.language_model.layers[1].self_attn.q_proj.weight
    stored_query = expected["language_model.model.layers.1.self_attn.q_proj.weight"]
    assert torch.equal(query, stored_query.float())
    assert config["dtype"] == "float16"
    assert (folder / "model.safetensors").stat().st_mode & 0o777 == 0o644


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
    generation = GenerationConfig.from_pretrained(folder)
    assert not generation.do_sample
    generation.save_pretrained(tmp_path / "again")  # Vicuna's own would raise here


def test_small_shards_are_written_one_by_one_with_an_index(tmp_path: Path) -> None:
    source = vicuna(tmp_path)
    whole = stored(build(source, tmp_path / "whole"))
    sharded = build(source, tmp_path / "sharded", max_shard_bytes=20_000)
    assert len(list(sharded.glob("model-*.safetensors"))) > 3
    parts = stored(sharded)
    assert parts.keys() == whole.keys()
    assert all(torch.equal(parts[name], whole[name]) for name in whole)
    index = json.loads((sharded / "model.safetensors.index.json").read_text())
    assert index["metadata"]["total_size"] == sum(value.nbytes for value in whole.values())
    load_checked(sharded, precision="fp32")


@pytest.mark.slow  # another interpreter imports torch
def test_a_full_disk_is_a_sentence(tmp_path: Path) -> None:
    """Really full for the writer: the system refuses files over 30 kB, with EFBIG for ENOSPC."""
    source, folder = vicuna(tmp_path), tmp_path / "model"
    folder.mkdir()
    program = f"""
import resource, pathlib
from qinstruct_trainer.config import ModelSource
from qinstruct_trainer.errors import StorageError
from qinstruct_trainer.prep.model import build_model
source = ModelSource.model_validate_json({source.model_dump_json()!r})
resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, 30_000))
try:
    build_model(source, pathlib.Path({str(folder)!r}), seed=0, texts=[], progress=print)
except StorageError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert "model.safetensors cannot be written" in done.stdout.splitlines()[-1]


def test_progress_ends_at_the_total(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    folder = tmp_path / "model"
    folder.mkdir()
    build_model(
        vicuna(tmp_path),
        folder,
        seed=0,
        texts=[],
        progress=lambda done, total: seen.append((done, total)),
    )
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert seen[-1][0] == seen[-1][1] == sum(value.nbytes for value in stored(folder).values())


def test_tiny_is_built_from_nothing_and_loads(tmp_path: Path) -> None:
    folder = build(ModelSource(kind="tiny"), tmp_path / "tiny")
    model = load_model(folder, precision="fp32", attention="sdpa")
    assert model.config.image_token_index == len(load_tokenizer(folder)) - 2


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
