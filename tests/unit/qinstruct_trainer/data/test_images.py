"""Image files that are not what they should be (the pixels' values: tests/oracle)."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from qinstruct_trainer.contract.errors import DataError
from qinstruct_trainer.data.images import load_pixels, verify_image


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
    "empty": (b"", "does not decode"),
    "HTML": (b"<!doctype html><title>404</title>", "does not decode"),
    "truncated JPEG": (file_bytes("JPEG")[:-200], "does not decode"),
    "truncated PNG": (file_bytes("PNG")[:-300], "does not decode"),
    "header only": (file_bytes("JPEG")[:40], "does not decode"),
    "bomb": (png_claiming(60_000, 60_000), "does not decode"),
    "strip": (file_bytes("PNG", 30_000, 2), "padded to a square"),
}


@pytest.mark.parametrize("case", BAD.values(), ids=BAD.keys())
def test_a_bad_image_is_named(case: tuple[bytes, str], tmp_path: Path) -> None:
    content, reason = case
    path = tmp_path / "photo.jpg"
    path.write_bytes(content)
    for check in (verify_image, load_pixels):
        with pytest.raises(DataError, match=reason) as error:
            check(path)
        assert "photo.jpg" in str(error.value)


def test_a_missing_image_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is missing"):
        verify_image(tmp_path / "photo.jpg")


def test_a_good_image_passes_whatever_it_is_called(tmp_path: Path) -> None:
    path = tmp_path / "book.jpg"
    path.write_bytes(file_bytes("GIF"))
    verify_image(path)
    assert load_pixels(path, 28).shape == (3, 28, 28)
    assert load_pixels(path, 28).flags.c_contiguous
