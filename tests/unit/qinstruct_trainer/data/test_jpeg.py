"""Pixels and refusals of the fast JPEG decoder are Pillow's."""

import io
from pathlib import Path

import numpy as np
import pytest
import simplejpeg
from PIL import Image
from PIL.ImageFile import ImageFile

from qinstruct_trainer.contract.errors import DataError
from qinstruct_trainer.data import images
from qinstruct_trainer.data.images import load_levels
from qinstruct_trainer.data.jpeg import decode_jpeg
from support.pictures import jpegs, other_pictures

JPEGS = jpegs()
PILLOWS = ("cmyk-",)  # left to it, whatever else it is
# Coded otherwise (arithmetic, lossless, hierarchical): a build of libjpeg may lack it.
OTHER_FRAMES = (0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF)


def opened(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(content))


def test_pixels_are_pillows() -> None:
    assert len(JPEGS) >= 100
    for name, content in JPEGS.items():
        found = decode_jpeg(opened(content))
        if name.startswith(PILLOWS):
            assert found is None, name
        else:
            assert found is not None, name
            expected = np.asarray(opened(content).convert("RGB"))
            assert np.array_equal(np.asarray(found), expected), name


def test_what_is_no_jpeg_is_left_to_pillow() -> None:
    for name, content in other_pictures().items():
        image = opened(content)
        if image.format == "JPEG":
            continue
        assert decode_jpeg(image) is None, name
        assert np.array_equal(np.asarray(image), np.asarray(opened(content))), name


def test_pillow_goes_on_with_a_file_that_it_must_decode() -> None:
    content = JPEGS["cmyk-q75-0-0.jpg"]
    image = opened(content)
    assert decode_jpeg(image) is None
    assert np.array_equal(np.asarray(image), np.asarray(opened(content)))


@pytest.mark.parametrize("frame", OTHER_FRAMES, ids=hex)
def test_another_coding_is_left_to_pillow(frame: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise AssertionError("it was asked")

    monkeypatch.setattr(simplejpeg, "decode_jpeg", fail)
    content = JPEGS["q75-0-0.jpg"]
    image = opened(content)
    assert isinstance(image, ImageFile)
    image.fp = io.BytesIO(content.replace(b"\xff\xc0\x00\x11", bytes([0xFF, frame, 0, 17])))
    assert decode_jpeg(image) is None


def test_a_file_that_is_too_long_to_be_read_at_once_is_left_to_pillow(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    content = JPEGS["q75-0-0.jpg"]
    monkeypatch.setattr("qinstruct_trainer.data.jpeg._MOST_BYTES", len(content))
    assert decode_jpeg(opened(content)) is not None
    monkeypatch.setattr("qinstruct_trainer.data.jpeg._MOST_BYTES", len(content) - 1)
    assert decode_jpeg(opened(content)) is None


def damaged(name: str) -> list[bytes]:
    """The file cut off at 40 places, and with one byte changed at 80."""
    content = JPEGS[name]
    rng = np.random.default_rng(len(content))
    cut = [content[:end] for end in np.linspace(3, len(content) - 1, 40, dtype=int)]
    changed = []
    for place, value in zip(
        rng.integers(2, len(content), 80), rng.integers(1, 256, 80), strict=True
    ):
        levels = bytearray(content)
        levels[place] ^= int(value)
        changed.append(bytes(levels))
    return [*cut, *changed]


@pytest.mark.parametrize("name", ["q75-0-2.jpg", "q75-1-2.jpg", "grey-q30-0-0.jpg", "restarts.jpg"])
def test_a_damaged_file_has_the_same_verdict(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "photo.jpg"

    def verdicts() -> list[bytes | str]:
        found: list[bytes | str] = []
        for content in damaged(name):
            path.write_bytes(content)
            try:
                found.append(load_levels(path, 28).tobytes())
            except DataError as error:
                found.append(str(error))
        return found

    ours = verdicts()
    monkeypatch.setattr(images, "decode_jpeg", lambda _: None)
    pillows = verdicts()
    assert {type(verdict) for verdict in pillows} == {bytes, str}
    for our, pillow in zip(ours, pillows, strict=True):
        assert our == pillow
