"""Torch files that were prepared to run code, hang or fill the memory where they are read."""

import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch


class Touch:
    """Unpickled without care, it makes a file: the proof that code ran."""

    def __init__(self, witness: Path):
        self._command = f"touch {witness}"

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (self._command,)


def add_code(path: Path, witness: Path) -> None:
    """Put a value that runs code beside those that the file has."""
    content = torch.load(path, weights_only=False)
    content["more"] = Touch(witness)
    torch.save(content, path)


def replace_by_plain_pickle(path: Path, witness: Path) -> None:
    """A pickle without torch's zip around it, as old versions wrote."""
    path.write_bytes(pickle.dumps({"module": Touch(witness)}))


def replace_by_legacy_file(path: Path, witness: Path) -> None:
    """Torch's first format: several pickles one after the other."""
    torch.save({"module": Touch(witness)}, path, _use_new_zipfile_serialization=False)


def begin_as_a_legacy_file(path: Path, content: object) -> None:
    """Both formats in one file: the zip, which is found from its end, after the first format."""
    with zipfile.ZipFile(path) as package:
        members = {name: package.read(name) for name in package.namelist()}
    torch.save(content, path, _use_new_zipfile_serialization=False)
    with zipfile.ZipFile(path, "a") as package:
        for name, data in members.items():
            package.writestr(name, data)


class Reduced:
    """Pickled as the call of a function, with a state that is set on what it returns."""

    def __init__(self, function: Callable[..., Any], *arguments: Any, state: Any = None):
        self._reduced = (function, arguments) if state is None else (function, arguments, state)

    def __reduce__(self) -> tuple[Any, ...]:
        return self._reduced


def rewrite_pickle(path: Path, change: Callable[[bytes], bytes], *, squeeze: bool = False) -> None:
    """Change the pickle inside a torch file; its tensors stay."""
    with zipfile.ZipFile(path) as package:
        content = {name: package.read(name) for name in package.namelist()}
    kind = zipfile.ZIP_DEFLATED if squeeze else zipfile.ZIP_STORED
    with zipfile.ZipFile(path, "w", kind) as package:
        for name, data in content.items():
            package.writestr(name, change(data) if name.endswith("/data.pkl") else data)


def call(function: str, *arguments: Any) -> Callable[[bytes], bytes]:
    """A pickle that calls a function by its full name and gives what it returns."""
    module, _, name = function.rpartition(".")

    def change(_: bytes) -> bytes:
        given = pickle.dumps(arguments, protocol=2)[2:-1]
        return b"\x80\x02" + f"c{module}\n{name}\n".encode() + given + b"R."

    return change
