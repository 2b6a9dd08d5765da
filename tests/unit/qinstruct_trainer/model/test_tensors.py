"""Checkpoint files: whole ones open without being read, damaged and unsafe ones are refused."""

import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from qinstruct_trainer.contract.errors import DataError, StorageError
from qinstruct_trainer.model.tensors import open_checkpoint, save_tensors
from support.model.checkpoints import build, vicuna, write_torch

TENSORS = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.ones(4, dtype=torch.float16)}


def write_safetensors(folder: Path) -> None:
    save_tensors(TENSORS, folder / "model.safetensors")


def write_one_torch_file(folder: Path) -> None:
    write_torch(folder, TENSORS)


def write_torch_shards(folder: Path) -> None:
    write_torch(folder, TENSORS, num_shards=2)


@pytest.mark.parametrize("write", [write_safetensors, write_one_torch_file, write_torch_shards])
def test_every_kind_of_file_opens(write: Callable[[Path], None], tmp_path: Path) -> None:
    write(tmp_path)
    found = {tensor.name: tensor for tensor in open_checkpoint(tmp_path)}
    assert found.keys() == TENSORS.keys()
    for name, expected in TENSORS.items():
        assert found[name].shape == expected.shape
        assert found[name].dtype == expected.dtype
        assert found[name].num_bytes == expected.nbytes
        assert found[name].file.parent == tmp_path
        assert torch.equal(found[name].load(), expected)


def test_safetensors_win_over_torch_files_and_one_file_is_a_checkpoint_too(tmp_path: Path) -> None:
    write_torch(tmp_path, {"torch": torch.ones(1)})
    write_safetensors(tmp_path)
    assert {tensor.name for tensor in open_checkpoint(tmp_path)} == {"a", "b"}
    (alone,) = open_checkpoint(tmp_path / "pytorch_model.bin")
    assert alone.name == "torch"


def test_what_is_written_can_be_read_by_others(tmp_path: Path) -> None:
    write_safetensors(tmp_path)
    assert (tmp_path / "model.safetensors").stat().st_mode & 0o777 == 0o644


def test_a_folder_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"model\.safetensors cannot be written"):
        save_tensors(TENSORS, tmp_path / "nothing" / "model.safetensors")


def test_integers_that_no_model_trains_from_are_refused(tmp_path: Path) -> None:
    save_file({"mask": torch.ones(2, dtype=torch.uint8)}, tmp_path / "model.safetensors")
    with pytest.raises(DataError, match="holds mask as U8"):
        open_checkpoint(tmp_path)


class Malicious:
    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return eval, ("1/0",)


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


def endless_index(root: Path) -> None:
    os.truncate(root / "vicuna/pytorch_model.bin.index.json", 1 << 40)


def long_shard(root: Path) -> None:
    index = root / "vicuna/pytorch_model.bin.index.json"
    index.write_text(json.dumps({"weight_map": {"a": "a" * 300}}))


def half_a_character(root: Path) -> None:
    index = root / "vicuna/pytorch_model.bin.index.json"
    index.write_text('{"weight_map": {"a": "\\ud800"}}')


def long_name(root: Path) -> None:
    (root / "clip/pytorch_model.bin").unlink()
    save_file({"v" * 1_000_000: torch.ones(1)}, root / "clip/model.safetensors")


def long_name_of_nothing(root: Path) -> None:
    long_name(root)
    file = root / "clip/model.safetensors"
    file.write_bytes(file.read_bytes().replace(b'"data_offsets":[0,', b'"data_offsets":[9,'))


def long_name_in_torch(root: Path) -> None:
    torch.save({"v" * 1_000_000: torch.ones(1)}, root / "projector/mm_projector.bin")


def no_weights(root: Path) -> None:
    (root / "clip/pytorch_model.bin").unlink()


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (malicious_pickle, "more than tensors"),
        (plain_pickle, "torch file|more than tensors"),
        (no_tensors, "no dictionary of tensors"),
        (truncated_torch, "not a complete torch file"),
        (truncated_safetensors, "not a complete safetensors file"),
        (html_instead_of_weights, "torch file|more than tensors"),
        (lost_shard, "lacks the shard pytorch_model-00002"),
        (escaping_shard, "no plain file name"),
        (broken_index, "not a JSON object"),
        (endless_index, "larger than"),
        (long_shard, "not the index"),
        (half_a_character, "not the index"),
        (long_name, "name of over 255"),
        (long_name_of_nothing, "not a complete safetensors file"),
        (long_name_in_torch, "name of over 255"),
        (no_weights, "has no weights"),
    ],
)
def test_files_that_are_not_whole_or_not_safe_are_refused_in_a_sentence(
    damage: Callable[[Path], None], words: str, tmp_path: Path
) -> None:
    source = vicuna(tmp_path)
    damage(tmp_path)
    with pytest.raises(DataError, match=words) as caught:
        build(source, tmp_path / "model")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 1000
