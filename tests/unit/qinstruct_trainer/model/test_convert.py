"""Every published layout becomes the same checkpoint, bit for bit, or a sentence."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from qinstruct_trainer.contract.config import ModelSource
from qinstruct_trainer.contract.errors import DataError
from qinstruct_trainer.model.convert import padded_rows
from qinstruct_trainer.model.llava import load_checked, load_model
from qinstruct_trainer.model.tensors import open_checkpoint
from qinstruct_trainer.prep.model import build_model
from support.model.checkpoints import (
    build,
    hub,
    hub_tensors,
    original,
    vicuna,
    write_torch,
)

LEGACY_VOCABULARY = ("language_model.model.embed_tokens.weight", "language_model.lm_head.weight")


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
from qinstruct_trainer.contract.config import ModelSource
from qinstruct_trainer.contract.errors import StorageError
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


def change(file: Path, edit: Callable[[dict[str, torch.Tensor]], None]) -> None:
    tensors = torch.load(file, weights_only=True)
    edit(tensors)
    torch.save(tensors, file)


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


def add_key_again(root: Path) -> None:
    """The same tensor under the two names that projector files are known to have."""
    change(
        root / "projector/mm_projector.bin",
        lambda tensors: tensors.update({"mm_projector.0.bias": torch.ones(32)}),
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


def of(dtype: torch.dtype) -> Callable[[Path], None]:
    """Weights that are no floating-point numbers, in their right shape."""

    def damage(root: Path) -> None:
        file, name = root / "projector/mm_projector.bin", "model.mm_projector.0.bias"
        change(file, lambda tensors: tensors.update({name: tensors[name].to(dtype)}))

    return damage


def text_tower_only(root: Path) -> None:
    write_torch(root / "clip", {"text_model.x": torch.ones(1)})


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lose_key, "lacks 1 of"),
        (add_key, "unknown tensor model.mm_projector.4.bias"),
        (add_key_again, r"mm_projector\.0\.bias, which .*mm_projector\.bin has already; remove"),
        (add_layer, "model.layers.2.mlp.up_proj.weight, which a model of its config.json"),
        (of(torch.int64), r"model.mm_projector.0.bias as torch.int64, which is no number that can"),
        (of(torch.uint8), r"model.mm_projector.0.bias as torch.uint8, which is no number that can"),
        (of(torch.bool), r"model.mm_projector.0.bias as torch.bool, which is no number that can"),
        (wrong_shape, r"model.mm_projector.0.bias as \[3\]"),
        (text_tower_only, "lacks"),
    ],
)
def test_tensors_that_make_no_whole_model_are_refused_in_a_sentence(
    damage: Callable[[Path], None], words: str, tmp_path: Path
) -> None:
    source = vicuna(tmp_path)
    damage(tmp_path)
    with pytest.raises(DataError, match=words) as caught:
        build(source, tmp_path / "model")
    assert "\n" not in str(caught.value)


@given(st.integers(min_value=1, max_value=200_000))
def test_padded_rows_are_the_next_multiple_of_64(num_tokens: int) -> None:
    rows = padded_rows(num_tokens)
    assert rows % 64 == 0
    assert 0 <= rows - num_tokens < 64
