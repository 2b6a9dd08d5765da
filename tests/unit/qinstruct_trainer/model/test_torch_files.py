import errno
import os
import tarfile
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from enum import IntEnum
from pathlib import Path

import pytest
import torch
from torch import nn

from qinstruct_trainer.contract.errors import DataError
from qinstruct_trainer.model.torch_files import map_torch_file, read_torch_file
from support.pickles import (
    Reduced,
    Touch,
    add_code,
    begin_as_a_legacy_file,
    call,
    replace_by_legacy_file,
    rewrite_pickle,
)


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


def _tar(path: Path) -> None:
    """Torch's oldest format, which is unpacked into a folder."""
    (path.parent / "storages").write_bytes(b"")
    with tarfile.open(path, "w") as package:
        package.add(path.parent / "storages", "../../storages")


def _zip_in_a_zip(path: Path) -> None:
    inside = path.read_bytes()
    with zipfile.ZipFile(path, "w") as package:
        package.writestr("weights/weights.pt", inside)


def _script(path: Path) -> None:
    """As a compiled program has it, whose code torch would load."""
    with zipfile.ZipFile(path, "a") as package:
        package.writestr("weights/constants.pkl", b"\x80\x02N.")


def _another_pickle_of_the_same_name(path: Path) -> None:
    code = call("posix.system", f"touch {path.with_name('code-ran')}")(b"")
    with zipfile.ZipFile(path, "a") as package, pytest.warns(UserWarning, match="Duplicate"):
        package.writestr("weights/data.pkl", code)


def _more_numbers_than_the_storage_has(path: Path) -> None:
    """What is behind it in memory would be read as weights."""
    storage, more = b"K\x06tq", b"M\xe8\x03tq"
    size, larger = b"K\x02K\x03\x86", b"M\xe8\x03K\x01\x86"
    weights = {"weight": torch.arange(6.0).reshape(2, 3), "padding": torch.zeros(1000)}
    torch.save(weights, path)
    rewrite_pickle(path, lambda content: content.replace(storage, more).replace(size, larger))


def _storage() -> torch.TypedStorage:
    values = torch.ones(4)
    return torch.TypedStorage(  # type: ignore[no-untyped-call]
        wrap_storage=values.untyped_storage(), dtype=values.dtype, _internal=True
    )


def _tensor(**metadata: object) -> Reduced:
    rebuild = torch._utils._rebuild_tensor_v2
    return Reduced(rebuild, _storage(), 0, (2,), (1,), False, OrderedDict(), metadata)


def _offset(number: int) -> Reduced:
    rebuild = torch._utils._rebuild_tensor_v2
    return Reduced(rebuild, _storage(), number, (2,), (1,), False, OrderedDict())


def _typed(function: object, kind: object, arguments: object, state: object) -> Reduced:
    return Reduced(torch._tensor._rebuild_from_type_v2, function, kind, arguments, state)


def _noted_on_a_dictionary(name: str, value: object) -> OrderedDict[str, object]:
    noted: OrderedDict[str, object] = OrderedDict()
    setattr(noted, name, value)
    return noted


# Built with what is allowed, from arguments that nobody would give.
REBUILT = {
    "a hook that is called for a gradient": Reduced(
        torch._utils._rebuild_parameter, torch.ones(2), True, OrderedDict({0: OrderedDict})
    ),
    "a hook that is set later": _typed(
        torch.Tensor, torch.Tensor, ((2,),), {"_backward_hooks": OrderedDict({0: OrderedDict})}
    ),
    "a gradient": _typed(torch.Tensor, torch.Tensor, ((2,),), {"grad": torch.ones(2)}),
    "another class": _typed(OrderedDict, OrderedDict, (), {"__class__": OrderedDict}),
    "a type that is none": _typed(torch.Tensor, 7, ((2,),), {}),
    "numbers that are not those stored": _tensor(neg=True),
    "conjugate numbers": _tensor(conj=True),
    "what no tensor knows of itself": _tensor(more="x"),
    "what is no dictionary": Reduced(
        torch._utils._rebuild_tensor_v2,
        *(_storage(), 0, (2,), (1,), False, OrderedDict(), OrderedDict),
    ),
    "a place before the start": _offset(-1),
    "a place of a terabyte": _offset(10**12),
    "a parameter of text": Reduced(torch._utils._rebuild_parameter, "x", True, OrderedDict()),
    "a size of text": Reduced(torch.Size, ("x",)),
    "a dictionary with a method replaced": _noted_on_a_dictionary("popitem", [1]),
    "a dictionary with more noted on it": _noted_on_a_dictionary("later", 1),
    "a class noted on a dictionary": _noted_on_a_dictionary("_metadata", OrderedDict),
    "a class": OrderedDict,
    "a type of storage": torch.FloatStorage,
}


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
    _tar,
    _zip_in_a_zip,
    _script,
    _another_pickle_of_the_same_name,
    _more_numbers_than_the_storage_has,
    lambda path: begin_as_a_legacy_file(path, {"weight": torch.ones(2)}),
    lambda path: begin_as_a_legacy_file(path, {"weight": Reduced(bytearray, 10)}),
    lambda path: begin_as_a_legacy_file(path, {"weight": Touch(path.with_name("code-ran"))}),
    lambda path: rewrite_pickle(path, lambda _: b"\x80\x02iposix\nsystem\n."),
    lambda path: rewrite_pickle(path, lambda _: b"\x80\x02\x82\x01."),
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


@READERS
@pytest.mark.parametrize("hostile", REBUILT.values(), ids=REBUILT)
def test_nothing_is_built_but_plain_tensors(
    hostile: object, read: Callable[[Path], object], file: Path
) -> None:
    torch.save({"weight": torch.ones(2), "hostile": hostile}, file)
    with pytest.raises(DataError, match=r"weights\.pt ") as refused:
        read(file)
    assert "\n" not in str(refused.value)


class Level(IntEnum):
    """An enumeration of the process that reads."""

    LOW = 1
    HIGH = 2


@pytest.mark.parametrize(
    "state", [None, {"_value_": 7}, {"_name_": "LOW"}, (None, {"_value_": 7})], ids=str
)
def test_no_file_changes_an_enumeration_of_the_process(state: object, file: Path) -> None:
    torch.save({"level": Reduced(Level, 2, state=state)}, file)
    name = f"{Level.__module__}.Level"
    if state is None:
        assert read_torch_file(file, numbers=[name]) == {"level": 2}
    else:
        with pytest.raises(DataError, match="is not a complete torch file"):
            read_torch_file(file, numbers=[name])
    assert (Level.HIGH.value, Level.HIGH.name) == (2, "HIGH")


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


@READERS
def test_too_little_memory_is_no_damage(
    read: Callable[[Path], object], file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(*_: object, **__: object) -> object:
        raise MemoryError

    monkeypatch.setattr(torch, "load", load)
    with pytest.raises(MemoryError):
        read(file)


def test_a_file_that_is_gone_is_no_damage(tmp_path: Path) -> None:
    with pytest.raises(OSError) as gone:
        read_torch_file(tmp_path / "gone.pt")
    assert gone.value.errno == errno.ENOENT
