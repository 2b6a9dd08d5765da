import os
from pathlib import Path

import pytest

from qinstruct_trainer.contract.errors import DataError
from qinstruct_trainer.json_files import MAX_CONFIG_BYTES, read_json


def test_an_object_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"a": [1, null]}', "utf-8")
    assert read_json(tmp_path / "a.json") == {"a": [1, None]}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"7",
        b"{",
        b"\xff\xfe{",
        b"[" * 200_000,
        b'{"a":' * 200_000,
        b'{"a":' + b"9" * 5_000 + b"}",
        b"{}" + b" " * MAX_CONFIG_BYTES,
    ],
    ids=range(9),
)
def test_anything_else_is_refused_in_a_sentence(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(DataError, match=r"a\.json .*fetch"):
        read_json(tmp_path / "a.json")


@pytest.mark.parametrize("kind", ["nothing", "folder", "pipe"])
def test_what_is_no_file_is_refused_and_not_waited_for(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    with pytest.raises(DataError, match=r"a\.json"):
        read_json(path)
