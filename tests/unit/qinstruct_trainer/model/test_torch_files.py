import errno
import os
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from qinstruct_trainer.contract.errors import DataError
from qinstruct_trainer.model.torch_files import map_torch_file, read_torch_file
from support.pickles import Touch, add_code, call, replace_by_legacy_file, rewrite_pickle


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "weights.pt"
    torch.save({"weight": torch.arange(6.0).reshape(2, 3)}, path)
    return path


READERS = pytest.mark.parametrize("read", [read_torch_file, map_torch_file])


@READERS
def test_what_weights_are_saved_as_is_read(read: Callable[[Path], object], tmp_path: Path) -> None:
    noted = torch.ones(2)
    noted.ds_id = "3_4"  # type: ignore[attr-defined]  # as ZeRO-3 does
    shared = torch.arange(8.0)
    content = {
        "plain": [1, 2.5, "text", None, True, (1, 2), torch.Size([3])],
        "dict": OrderedDict(a=torch.zeros(2, dtype=torch.bfloat16)),
        "parameter": nn.Parameter(torch.ones(1)),
        "noted": noted,
        "views": [shared[:4], shared[2:], shared.reshape(2, 4).T],
        "whole": torch.tensor([1, 2]),
    }
    torch.save(content, tmp_path / "a.pt")
    found = read(tmp_path / "a.pt")
    assert isinstance(found, dict)
    assert found["plain"] == content["plain"]
    assert found["noted"].ds_id == "3_4"
    assert torch.equal(found["views"][2], shared.reshape(2, 4).T)


def _code(path: Path) -> None:
    add_code(path, path.with_name("code-ran"))


def _first_format(path: Path) -> None:
    replace_by_legacy_file(path, path.with_name("code-ran"))


def _squeezed(path: Path) -> None:
    torch.save({"weight": torch.zeros(10_000)}, path)
    rewrite_pickle(path, lambda content: content, squeeze=True)


def _replaced_method(path: Path) -> None:
    weight = torch.ones(2)
    weight.numel = 3  # type: ignore[assignment,method-assign]
    torch.save({"weight": weight}, path)


ATTACKS: list[Callable[[Path], object]] = [
    _code,
    _first_format,
    _squeezed,
    _replaced_method,
    lambda path: rewrite_pickle(path, call("__builtin__.bytearray", 10**12)),
    lambda path: rewrite_pickle(path, call("torch.Tensor", 10**12)),
    lambda path: rewrite_pickle(path, call("torch._utils._rebuild_tensor_v2", 1, 2)),
    lambda path: rewrite_pickle(path, call("torch.hub.load", "some/repo", "model")),
    lambda path: rewrite_pickle(path, lambda _: b"\x80\x04\x8c\x02os\x8c\x06system\x93."),
    lambda path: rewrite_pickle(path, lambda _: b"(" * 1000 + b"."),
    lambda path: rewrite_pickle(path, lambda content: content[:-1]),
    lambda path: torch.save({"weight": torch.zeros(1).expand(10**12)}, path),
    lambda path: torch.save({"weight": torch.eye(2).to_sparse()}, path),
    lambda path: torch.save({"weight": torch.empty(2, device="meta")}, path),
    lambda path: path.write_bytes(path.read_bytes()[:-900]),
    lambda path: path.write_bytes(b""),
    lambda path: path.write_text("<!DOCTYPE html>"),
]


@READERS
@pytest.mark.parametrize("attack", ATTACKS)
def test_anything_else_is_refused_and_does_nothing(
    attack: Callable[[Path], object], read: Callable[[Path], object], file: Path
) -> None:
    attack(file)
    with pytest.raises(DataError, match=r"weights\.pt ") as refused:
        read(file)
    assert "\n" not in str(refused.value)
    assert not file.with_name("code-ran").exists()


def test_what_was_checked_is_what_is_read(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exchanged at the last moment, when torch itself is about to read."""
    torch.save({"weight": Touch(tmp_path / "code-ran")}, tmp_path / "other.pt")
    load = torch.load

    def exchange(*arguments: object, **options: object) -> object:
        (tmp_path / "other.pt").replace(file)
        return load(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(torch, "load", exchange)
    assert torch.equal(read_torch_file(file)["weight"], torch.arange(6.0).reshape(2, 3))


def test_a_mapped_file_that_is_exchanged_runs_nothing(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.save({"weight": Touch(tmp_path / "code-ran")}, tmp_path / "other.pt")
    load = torch.load

    def exchange(*arguments: object, **options: object) -> object:
        (tmp_path / "other.pt").replace(file)
        return load(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(torch, "load", exchange)
    with pytest.raises(DataError, match="more than tensors"):
        map_torch_file(file)
    assert not (tmp_path / "code-ran").exists()


@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
def test_what_is_no_file_is_not_read(kind: str, file: Path) -> None:
    if kind == "link":
        file.rename(file.with_name("elsewhere"))
        file.symlink_to("elsewhere")
    else:
        file.unlink()
        os.mkfifo(file) if kind == "pipe" else file.mkdir()
    with pytest.raises(DataError, match=r"is a link|is no plain file"):
        read_torch_file(file)


def test_a_file_that_is_gone_is_no_damage(tmp_path: Path) -> None:
    with pytest.raises(OSError) as gone:
        read_torch_file(tmp_path / "gone.pt")
    assert gone.value.errno == errno.ENOENT
