"""Stored pixels are the images'; whatever is wrong with the store, the image is decoded."""

import logging
import os
import shutil
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from qinstruct_trainer.contract.errors import DataError
from qinstruct_trainer.data import pixel_store
from qinstruct_trainer.data.images import load_levels
from qinstruct_trainer.data.pixel_store import (
    IMAGES,
    META,
    PIXELS,
    ROW,
    TABLE,
    PixelStore,
    SegmentImages,
    StoreMeta,
    image_key,
    levels_bytes,
    read_segment,
    write_table,
)

Patch = pytest.MonkeyPatch

SIZE = 28
NUM_IMAGES = 5


@pytest.fixture
def images(tmp_path: Path) -> list[Path]:
    rng = np.random.default_rng(0)
    paths = [tmp_path / "images" / f"{number}.png" for number in range(NUM_IMAGES)]
    paths[0].parent.mkdir()
    for path in paths:
        Image.fromarray(rng.integers(0, 256, (20, 30, 3), np.uint8)).save(path)
    return paths


@pytest.fixture
def folder(images: list[Path], tmp_path: Path) -> Path:
    """A table of two segments; the pixels are inverted, so that one sees where they are from."""
    segments = (tmp_path / "one", tmp_path / "two")
    rows = []
    for number, segment in enumerate(segments):
        segment.mkdir()
        stored = [inverted(path) for path in images[number::2]]
        (segment / PIXELS).write_bytes(b"".join(stored))
        for row, (path, content) in enumerate(zip(images[number::2], stored, strict=True)):
            rows.append((image_key(path), number, row, zlib.crc32(content)))
    folder = tmp_path / "table"
    folder.mkdir()
    write_table(folder, StoreMeta(size=SIZE, segments=segments), np.array(rows, ROW))
    return folder


def inverted(path: Path) -> bytes:
    return (255 - load_levels(path, SIZE)).tobytes()


def opened(folder: Path) -> PixelStore:
    store = PixelStore.open(folder, SIZE)
    assert store is not None
    return store


def from_store(folder: Path, images: list[Path]) -> list[bool]:
    """Which images come from the store; the others must be as they decode."""
    store = opened(folder)
    found = [store.levels(path) for path in images]
    stored = [
        levels.tobytes() == inverted(path) for levels, path in zip(found, images, strict=True)
    ]
    for levels, path, is_stored in zip(found, images, stored, strict=True):
        assert is_stored or np.array_equal(levels, load_levels(path, SIZE))
    return stored


def test_every_image_comes_from_its_place(folder: Path, images: list[Path]) -> None:
    assert from_store(folder, images) == [True] * NUM_IMAGES


def test_an_image_that_is_not_stored_is_decoded(
    folder: Path, images: list[Path], tmp_path: Path
) -> None:
    other = tmp_path / "images" / "other.png"
    shutil.copyfile(images[0], other)
    assert np.array_equal(opened(folder).levels(other), load_levels(other, SIZE))
    other.write_bytes(b"no image")
    with pytest.raises(DataError, match=r"other\.png is no JPEG"):
        opened(folder).levels(other)


def change_a_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[levels_bytes(SIZE) + 7] ^= 1
    path.write_bytes(content)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: levels_bytes(SIZE) + 7])


def make_a_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def make_endless(path: Path) -> None:
    path.unlink()
    path.symlink_to("/dev/zero")


def make_a_link(path: Path) -> None:
    path.rename(path.with_name("moved"))
    path.symlink_to("moved")


@pytest.mark.parametrize(
    ("damage", "left"),
    [
        (change_a_byte, [True, True, False, True, True]),
        (cut, [True, True, False, True, False]),
        (Path.unlink, [False, True, False, True, False]),
        (make_a_pipe, [False, True, False, True, False]),
        (make_a_link, [False, True, False, True, False]),
    ],
)
def test_damaged_pixels_are_noticed_and_decoded(
    damage: object,
    left: list[bool],
    folder: Path,
    images: list[Path],
    caplog: pytest.LogCaptureFixture,
) -> None:
    damage(folder.parent / "one" / PIXELS)  # type: ignore[operator]
    assert from_store(folder, images) == left
    assert {record.levelno for record in caplog.records} == {logging.WARNING}


@pytest.mark.parametrize("field", ["segment", "row"])
def test_a_table_that_leads_nowhere_is_not_followed(
    field: str, folder: Path, images: list[Path]
) -> None:
    table = np.fromfile(folder / TABLE, ROW)
    table[field] = 2**32 - 1
    table.tofile(folder / TABLE)
    assert from_store(folder, images) == [False] * NUM_IMAGES


@pytest.mark.parametrize("name", [META, TABLE])
def test_without_a_table_there_is_no_store(
    name: str, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (folder / name).unlink()
    assert PixelStore.open(folder, SIZE) is None
    assert "images are decoded" in caplog.text


@pytest.mark.parametrize("name", [META, TABLE])
@pytest.mark.parametrize("damage", [make_a_pipe, make_a_link, make_endless])
def test_a_table_of_no_plain_files_is_no_store(
    damage: Callable[[Path], None], name: str, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    damage(folder / name)
    assert PixelStore.open(folder, SIZE) is None
    assert "images are decoded" in caplog.text


@pytest.mark.parametrize(
    ("name", "constant"), [(META, "_MAX_META_BYTES"), (TABLE, "_MAX_TABLE_BYTES")]
)
def test_a_table_is_read_within_bounds(
    name: str, constant: str, folder: Path, caplog: pytest.LogCaptureFixture, monkeypatch: Patch
) -> None:
    size = (folder / name).stat().st_size
    monkeypatch.setattr(pixel_store, constant, size)
    assert PixelStore.open(folder, SIZE) is not None
    monkeypatch.setattr(pixel_store, constant, size - 1)
    assert PixelStore.open(folder, SIZE) is None
    assert "it has more than" in caplog.text


def test_folders_that_are_links_are_not_followed(
    folder: Path, images: list[Path], caplog: pytest.LogCaptureFixture
) -> None:
    one = folder.parent / "one"
    one.rename(one.with_name("moved"))
    one.symlink_to("moved")
    assert from_store(folder, images) == [False, True, False, True, False]
    link = folder.with_name("link")
    link.symlink_to(folder)
    assert PixelStore.open(link, SIZE) is None
    assert caplog.text.count("it is a link") == 2


def test_a_segment_is_read_within_bounds(tmp_path: Path, monkeypatch: Patch) -> None:
    images = SegmentImages(size=SIZE, names=("a",), crcs=(1,), faults={}, destroyed=())
    path = tmp_path / IMAGES
    path.write_text(images.model_dump_json())
    assert read_segment(tmp_path) == images
    (tmp_path / "link").symlink_to(tmp_path)
    assert read_segment(tmp_path / "link") is None
    with monkeypatch.context() as patch:
        patch.setattr(pixel_store, "_MAX_IMAGES_BYTES", path.stat().st_size - 1)
        assert read_segment(tmp_path) is None
    for damage in (make_a_link, make_a_pipe, make_endless):
        damage(path)
        assert read_segment(tmp_path) is None


@pytest.mark.parametrize("text", ["", "{}", '{"size": 0, "segments": []}', '{"size": 28}'])
def test_a_damaged_description_is_no_store(text: str, folder: Path) -> None:
    (folder / META).write_text(text)
    assert PixelStore.open(folder, SIZE) is None


def test_a_store_for_another_model_is_not_used(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert PixelStore.open(folder, 2 * SIZE) is None
    assert "squares of 28, the model takes 56" in caplog.text


def test_two_images_of_one_key_are_both_decoded(folder: Path, images: list[Path]) -> None:
    rows = np.fromfile(folder / TABLE, ROW)
    twice = np.concatenate([rows, rows[:1]])
    write_table(folder, StoreMeta.model_validate_json((folder / META).read_text()), twice)
    assert sum(from_store(folder, images)) == NUM_IMAGES - 1


def test_an_empty_table_is_a_store(folder: Path, images: list[Path]) -> None:
    write_table(folder, StoreMeta(size=SIZE, segments=()), np.empty(0, ROW))
    assert from_store(folder, images) == [False] * NUM_IMAGES
