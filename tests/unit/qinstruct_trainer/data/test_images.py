"""Image files that are not what they should be (the pixels' values: tests/oracle)."""

import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import EpsImagePlugin, Image

from qinstruct_trainer.contract.errors import DataError
from qinstruct_trainer.data.images import (
    CLIP_MEAN,
    CLIP_STD,
    examine_image,
    load_levels,
    load_pixels,
    normalise,
)


def noise(width: int, height: int) -> Image.Image:
    levels = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    return Image.fromarray(levels)


def file_bytes(kind: str, width: int = 64, height: int = 48) -> bytes:
    buffer = io.BytesIO()
    noise(width, height).save(buffer, kind)
    return buffer.getvalue()


def png_claiming(width: int, height: int) -> bytes:
    """A PNG whose header promises that many pixels."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    return b"\x89PNG\r\n\x1a\n" + chunk


BAD = {
    "empty": (b"", "is no JPEG, PNG"),
    "HTML": (b"<!doctype html><title>404</title>", "is no JPEG, PNG"),
    "truncated JPEG": (file_bytes("JPEG")[:-200], "does not decode"),
    "truncated PNG": (file_bytes("PNG")[:-300], "does not decode"),
    "header only": (file_bytes("JPEG")[:40], "does not decode"),
    "bomb": (png_claiming(60_000, 60_000), "is no JPEG, PNG"),
    "strip": (file_bytes("PNG", 30_000, 2), "padded to a square"),
}


@pytest.mark.parametrize("case", BAD.values(), ids=BAD.keys())
def test_a_bad_image_is_named(case: tuple[bytes, str], tmp_path: Path) -> None:
    content, reason = case
    path = tmp_path / "photo.jpg"
    path.write_bytes(content)
    for check in (examine_image, load_pixels):
        with pytest.raises(DataError, match=reason) as error:
            check(path)
        assert "photo.jpg" in str(error.value)


def test_a_missing_image_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is missing"):
        examine_image(tmp_path / "photo.jpg")


def test_a_good_image_passes_whatever_it_is_called(tmp_path: Path) -> None:
    path = tmp_path / "book.jpg"
    path.write_bytes(file_bytes("GIF"))
    examine_image(path)
    assert load_pixels(path, 28).shape == (3, 28, 28)
    assert load_pixels(path, 28).flags.c_contiguous


POSTSCRIPT = b"""%!PS-Adobe-3.0 EPSF-3.0
%%BoundingBox: 0 0 10 10
%%EndComments
(/tmp/x) (w) file closefile
%%EOF
"""


@pytest.mark.parametrize("content", [POSTSCRIPT, b"\xc5\xd0\xd3\xc6" + bytes(26) + POSTSCRIPT])
def test_an_image_that_is_a_program_is_not_run(
    content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pillow hands PostScript to Ghostscript, whatever the file's name is."""
    ghostscript = tmp_path / "gs"
    ghostscript.write_text(f"#!/bin/sh\ntouch {tmp_path}/was-run\n")
    ghostscript.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(EpsImagePlugin, "gs_binary", None)
    Image.init()  # as any other library of the process may have done
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(content)
    for check in (examine_image, load_pixels):
        with pytest.raises(DataError, match=r"photo\.jpg is no JPEG, PNG, GIF, BMP, Web"):
            check(photo)
    assert not (tmp_path / "was-run").exists()


Image.init()
WRITABLE = sorted({*Image.SAVE} & {*Image.OPEN})
TAKEN = ["BMP", "GIF", "JPEG", "MPO", "PNG", "TIFF", "WEBP"]  # an MPO begins with a whole JPEG


@pytest.mark.filterwarnings("ignore:IM image format is deprecated")
@pytest.mark.parametrize("kind", WRITABLE)
def test_an_image_of_another_format_is_refused_whatever_it_is_called(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Saving as SPIDER makes the file's suffix one of SPIDER's, for the whole process.
    monkeypatch.setattr(Image, "EXTENSION", dict(Image.EXTENSION))
    path = tmp_path / "photo.jpg"
    with path.open("wb") as file:
        mode = {"MSP": "1", "SPIDER": "F", "XBM": "1", "PALM": "L"}.get(kind, "RGB")
        try:
            noise(64, 64).convert(mode).save(file, kind)
        except (OSError, ValueError):
            pytest.skip(f"this Pillow cannot write {kind}")
    if kind in TAKEN or path.read_bytes().startswith((b"BM", b"\x89PNG", b"\xff\xd8")):
        examine_image(path)
    else:
        with pytest.raises(DataError, match="is no JPEG, PNG"):
            examine_image(path)


@pytest.mark.parametrize(
    ("pixels", "is_destroyed"),
    [
        (np.array([[0, 255]], np.uint16), False),
        (np.array([[0, 256]], np.uint16), True),
        (np.array([[0, 255]], np.int32), False),
        (np.array([[-1, 255]], np.int32), True),
        (np.array([[0, 254.5]], np.float32), False),
        (np.array([[0, 0.5]], np.float32), True),
        (np.array([[0, 300]], np.float32), True),
        (np.array([[0, 255]], np.uint8), False),
    ],
)
def test_pixels_that_do_not_fit_into_a_byte_are_destroyed(
    pixels: npt.NDArray[np.generic], is_destroyed: bool, tmp_path: Path
) -> None:
    path = tmp_path / "photo.tif"
    Image.fromarray(pixels).save(path)
    assert examine_image(path).is_destroyed == is_destroyed


def test_16_bits_of_a_colour_are_scaled_and_a_palette_is_looked_up(tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    levels = np.array([[[0x1234, 0x80FF, 0xFFFF]]], np.dtype(">u2"))
    path.write_bytes(png_of_16_bits(levels))
    assert load_levels(path, 1)[:, 0, 0].tolist() == [0x12, 0x80, 0xFF]
    assert not examine_image(path).is_destroyed
    Image.new("RGB", (1, 1), (1, 2, 3)).convert("P").save(path)
    palette = Image.open(path).convert("RGB").getpixel((0, 0))
    assert tuple(load_levels(path, 1)[:, 0, 0].tolist()) == palette


def png_of_16_bits(levels: npt.NDArray[np.uint16]) -> bytes:
    """A PNG of three big-endian numbers a pixel, which Pillow reads and does not write."""
    height, width, _ = levels.shape

    def chunk(kind: bytes, content: bytes) -> bytes:
        crc = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + crc

    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    rows = b"".join(b"\0" + row.tobytes() for row in levels)
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def test_each_level_is_normalised_as_the_published_processor_does() -> None:
    """It scales in 64 bits and rounds to 32; then all is in 32."""
    levels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16).repeat(3, axis=0)
    pixels = np.full(levels.shape, np.nan, np.float32)
    normalise(levels, pixels)
    scaled = (levels.astype(np.float64) * (1 / 255)).astype(np.float32)
    mean, std = (np.array(values, np.float32)[:, None, None] for values in (CLIP_MEAN, CLIP_STD))
    assert pixels.tobytes() == ((scaled - mean) / std).tobytes()
