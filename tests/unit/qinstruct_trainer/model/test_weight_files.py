"""Which files have the weights, how many bytes they are, and all that without torch."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from qinstruct_trainer.contract.errors import DataError
from qinstruct_trainer.model.weight_files import open_safetensors, weight_bytes, weight_files

TENSORS = {"vision_tower.a": torch.ones(3, 5), "b": torch.ones(7, dtype=torch.bfloat16)}


def index(folder: Path, *names: str) -> Path:
    path = folder / "model.safetensors.index.json"
    path.write_text(json.dumps({"weight_map": dict(enumerate(names))}))
    return path


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin", "mm_projector.bin"])
def test_one_file(name: str, tmp_path: Path) -> None:
    (tmp_path / name).touch()
    assert weight_files(tmp_path) == [tmp_path / name]
    assert weight_files(tmp_path / name) == [tmp_path / name]


def test_safetensors_win(tmp_path: Path) -> None:
    for name in ("pytorch_model.bin", "2.safetensors", "1.safetensors"):
        (tmp_path / name).touch()
    index(tmp_path, "2.safetensors", "1.safetensors", "2.safetensors")
    assert weight_files(tmp_path) == [tmp_path / "1.safetensors", tmp_path / "2.safetensors"]


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["none.safetensors"], "lacks the shard none.safetensors that"),
        (["../x.safetensors"], "which is no plain file name"),
        (["x" * 256], "is not the index of a sharded checkpoint"),
    ],
)
def test_an_index_that_is_wrong(names: list[str], words: str, tmp_path: Path) -> None:
    index(tmp_path, *names)
    with pytest.raises(DataError, match=words):
        weight_files(tmp_path)


def test_no_weights(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no weights; expected one of"):
        weight_files(tmp_path)


def test_the_bytes_of_weights(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    save_file(TENSORS, file)
    assert weight_bytes(file) == 3 * 5 * 4 + 7 * 2
    assert weight_bytes(file, "vision_tower.") == 7 * 2
    (tmp_path / "pytorch_model.bin").write_bytes(bytes(10))
    assert weight_bytes(tmp_path / "pytorch_model.bin", "vision_tower.") == 10


@pytest.mark.parametrize("framework", ["np", "pt"])
def test_a_file_that_is_cut_off(framework: str, tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    save_file(TENSORS, file)
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(DataError, match="is not a complete safetensors file"):
        open_safetensors(file, framework)
