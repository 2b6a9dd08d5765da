"""The index: what goes in comes out, and damage is noticed when it is opened."""

import pickle
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qinstruct_trainer.contract.errors import DataError
from qinstruct_trainer.data.image_tokens import (
    EncodedRecord,
    TokenizedRecord,
    cut_record,
    expand_images,
)
from qinstruct_trainer.data.index.reader import Index
from qinstruct_trainer.data.index.writer import IndexWriter

MAX_LENGTH = 24
NUM_IMAGE_TOKENS = 5
Entry = tuple[TokenizedRecord, EncodedRecord, int, tuple[int, str] | None]


def writer(folder: Path, image_token_id: int = 100) -> IndexWriter:
    return IndexWriter(
        folder,
        image_token_id=image_token_id,
        num_image_tokens=NUM_IMAGE_TOKENS,
        pad_token_id=0,
        max_length=MAX_LENGTH,
        roots=[Path("/images/one"), Path("/images/two")],
    )


@st.composite
def entries(draw: st.DrawFn, image_token_id: int) -> Entry:
    """A record as `tokenize_record` makes them, and expanded: placeholders anywhere, cut."""
    token = st.integers(0, image_token_id - 1)
    ids = draw(st.lists(token | st.just(image_token_id), max_size=30))
    learnt = draw(st.lists(st.booleans(), min_size=len(ids), max_size=len(ids)))
    array = np.array(ids, np.int64)
    mask = np.array(learnt, np.bool_) & (array != image_token_id)
    labels = np.where(mask, array, -100)
    settings = (image_token_id, NUM_IMAGE_TOKENS, MAX_LENGTH)
    tokens = cut_record(array, labels, *settings)
    # The published code cuts before the image is expanded, and once more after that.
    encoded = expand_images(array[:MAX_LENGTH], labels[:MAX_LENGTH], *settings)
    names = st.sampled_from(["a.jpg", "b/ü.png", "c d.jpg"])
    image = draw(st.none() | st.tuples(st.integers(0, 1), names))
    return tokens, encoded, draw(st.integers(1, 500)), image


@given(st.data(), st.sampled_from([100, 32_000, 65_535, 65_536, 151_655]))
def test_what_goes_in_comes_out(data: st.DataObject, image_token_id: int) -> None:
    records = data.draw(st.lists(entries(image_token_id), max_size=12))
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "index"
        with writer(folder, image_token_id) as index_writer:
            for tokens, _, words, image in records:
                index_writer.add(tokens, words=words, image=image)
        index = Index.open(folder)
        assert len(index) == len(records)
        roots = (Path("/images/one"), Path("/images/two"))
        learnt, places = index.learnt_counts(), index.first_image_places()
        for number, (_, encoded, words, image) in enumerate(records):
            example = index[number]
            assert example.input_ids.dtype == example.labels.dtype == np.int64
            assert example.input_ids.tolist() == encoded.input_ids.tolist()
            assert example.labels.tolist() == encoded.labels.tolist()
            assert example.image_runs == encoded.image_runs
            assert example.image == (None if image is None else roots[image[0]] / image[1])
            assert index.lengths[number] == len(encoded.input_ids)
            assert index.modality_lengths[number] == (words if image else -words)
            assert learnt[number] == (encoded.labels[1:] != -100).sum()
            assert places[number] == (encoded.image_runs or ((-1, 0),))[0][0]
            alike = [n for n, (*_, other) in enumerate(records) if other == image]
            assert np.flatnonzero(index.images == index.images[number]).tolist() == alike
        assert index.meta.num_tokens == int(index.lengths.sum())


def small_index(folder: Path) -> Path:
    ids = np.arange(1, 9, dtype=np.int64)
    with writer(folder) as index_writer:
        for _ in range(3):
            index_writer.add(TokenizedRecord(ids, ids, len(ids)), words=4, image=(1, "x.jpg"))
    return folder


def test_an_index_is_pickled_as_its_folder(tmp_path: Path) -> None:
    index = Index.open(small_index(tmp_path))
    pickled = pickle.dumps(index)
    assert len(pickled) < 1_000
    assert pickle.loads(pickled)[2].image == Path("/images/two/x.jpg")


@pytest.mark.parametrize("number", [-1, 3])
def test_a_record_outside_is_an_index_error(number: int, tmp_path: Path) -> None:
    index = Index.open(small_index(tmp_path))
    with pytest.raises(IndexError, match=f"record {number} of 3"):
        index[number]


@pytest.mark.parametrize("name", ["tokens.bin", "records.bin", "spans.bin", "images.bin"])
def test_a_truncated_or_missing_file_is_refused(name: str, tmp_path: Path) -> None:
    path = small_index(tmp_path) / name
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DataError, match=name):
        Index.open(tmp_path)
    path.unlink()
    with pytest.raises(DataError, match="missing"):
        Index.open(tmp_path)
