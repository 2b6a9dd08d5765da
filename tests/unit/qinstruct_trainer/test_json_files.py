import os
from pathlib import Path

import pytest

from qinstruct_trainer.contract.errors import DataError
from qinstruct_trainer.json_files import (
    MAX_CONFIG_BYTES,
    LongNumberError,
    read_json,
    whole_number,
)


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


def test_a_whole_number_of_many_digits_is_told_in_words() -> None:
    assert whole_number("-12") == -12
    said = "^it has a whole number of 5,000 digits, and at most 4,300 are read$"
    with pytest.raises(LongNumberError, match=said):
        whole_number("-" + "9" * 5000)
