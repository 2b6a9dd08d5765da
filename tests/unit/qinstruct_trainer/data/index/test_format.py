"""meta.json says that an index is complete and of this version, or the index is refused."""

from pathlib import Path

import numpy as np
import pytest

from qinstruct_trainer.contract.errors import DataError
from qinstruct_trainer.data.image_tokens import TokenizedRecord
from qinstruct_trainer.data.index.format import FILES, read_meta
from qinstruct_trainer.data.index.reader import Index
from qinstruct_trainer.data.index.writer import IndexWriter


def writer(folder: Path) -> IndexWriter:
    return IndexWriter(
        folder,
        image_token_id=100,
        num_image_tokens=5,
        pad_token_id=0,
        max_length=24,
        roots=[Path("/images/one")],
    )


def small_index(folder: Path) -> Path:
    ids = np.arange(1, 9, dtype=np.int64)
    with writer(folder) as index_writer:
        for labels in (ids, ids, np.full_like(ids, -100)):
            index_writer.add(TokenizedRecord(ids, labels, len(ids)), words=4, image=(0, "x.jpg"))
    return folder


def test_it_counts_what_was_written(tmp_path: Path) -> None:
    meta = read_meta(small_index(tmp_path))
    assert (meta.num_records, meta.num_unsupervised, meta.num_tokens) == (3, 1, 24)
    assert meta.roots == ("/images/one",)
    assert meta.sizes == {name: (tmp_path / name).stat().st_size for name in FILES}


def test_an_unfinished_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), writer(tmp_path):
        raise ZeroDivisionError
    with pytest.raises(DataError, match="no complete index"):
        Index.open(tmp_path)


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"version": 1}', "\udcff"])
def test_a_damaged_meta_is_refused(text: str, tmp_path: Path) -> None:
    meta = small_index(tmp_path) / "meta.json"
    meta.write_text(text, "utf-8", errors="surrogateescape")
    with pytest.raises(DataError, match="damaged"):
        Index.open(tmp_path)


def test_another_version_is_refused(tmp_path: Path) -> None:
    meta = small_index(tmp_path) / "meta.json"
    meta.write_text(meta.read_text().replace('"version": 1', '"version": 2'))
    with pytest.raises(DataError, match="version 2"):
        Index.open(tmp_path)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('"num_records": 3', '"num_records": 4', "contradicts itself"),
        ('"paths.bin"', '"names.bin"', "of version 1"),
        ('"token_bytes": 2', '"token_bytes": 8', "damaged"),
        ('"version": 1', '"version": 1, "more": 1', "damaged"),
    ],
)
def test_a_meta_that_cannot_be_true_is_refused(
    old: str, new: str, words: str, tmp_path: Path
) -> None:
    meta = small_index(tmp_path) / "meta.json"
    assert old in meta.read_text()
    meta.write_text(meta.read_text().replace(old, new))
    with pytest.raises(DataError, match=words):
        read_meta(tmp_path)
