"""A JSON array read one element at a time: as json.loads reads it, or refused."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qinstruct_trainer.contract.errors import DataError
from qinstruct_trainer.prep.json_array import read_elements

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(value=st.lists(JSON), indent=st.sampled_from([None, 1]), ascii_only=st.booleans())
def test_elements_are_those_of_json(
    tmp_path_factory: pytest.TempPathFactory,
    value: list[Any],
    indent: int | None,
    ascii_only: bool,
) -> None:
    path = tmp_path_factory.mktemp("labels") / "labels.json"
    try:
        path.write_text(json.dumps(value, indent=indent, ensure_ascii=ascii_only), "utf-8")
    except UnicodeEncodeError:
        return  # half of a surrogate pair has no UTF-8
    elements = list(read_elements(path, "labels"))
    assert [element for _, element in elements] == value
    assert [json.loads(text) for text, _ in elements] == value
    assert not any("\n" in text for text, _ in elements)


def test_record_longer_than_the_window(tmp_path: Path) -> None:
    long = {"text": "ü" * 3_000_000}
    path = tmp_path / "labels.json"
    path.write_text(json.dumps([1, long, 2], ensure_ascii=False), "utf-8")
    assert [value for _, value in read_elements(path, "labels")] == [1, long, 2]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   ",
        "{}",
        '{"a": [1]}',
        "[",
        "[1",
        "[1,",
        "[1,]",
        "[1 2]",
        "[,1]",
        "[1]]",
        "[1] 2",
        '["a]',
        '[{"a": 1}',
        "[NaN]",
        "[Infinity]",
        "[01]",
        '["\n"]',
        "[" * 100_000,
        "[1" + "0" * 5000 + "]",
        "<!doctype html>",
    ],
)
def test_what_is_no_array_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "labels.json"
    path.write_text(text, "utf-8", newline="")
    with pytest.raises(DataError, match="labels, record"):
        list(read_elements(path, "labels"))


def test_text_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    (tmp_path / "labels.json").write_bytes(b'["\xff"]')
    with pytest.raises(DataError, match="UTF-8"):
        list(read_elements(tmp_path / "labels.json", "labels"))


def test_byte_order_mark_is_skipped(tmp_path: Path) -> None:
    (tmp_path / "labels.json").write_bytes(b"\xef\xbb\xbf[1]")
    assert list(read_elements(tmp_path / "labels.json", "labels")) == [("1", 1)]


def test_a_number_that_is_too_long_and_a_name_with_a_dot(tmp_path: Path) -> None:
    path = tmp_path / "labels.json"
    path.write_text(f"[1, {'9' * 10_000}]")
    with pytest.raises(DataError) as caught:
        list(read_elements(path, "h2.json"))
    assert str(caught.value) == (
        "h2.json, record 1: it has a whole number of 10,000 digits, and at most 4,300 are read; "
        'correct the file or set data.sources["h2.json"].url to a good copy'
    )
