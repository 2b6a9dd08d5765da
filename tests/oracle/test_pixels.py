"""Pixels equal, bit for bit, those of the original's padding and CLIP's Pillow processor."""

import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image
from transformers import CLIPImageProcessorPil

from qinstruct_trainer.data.images import load_pixels
from support.oracle_llava import load_original

SHAPES = [(336, 336), (1, 1), (1, 400), (1200, 3), (640, 480), (481, 640), (335, 336), (50, 20)]
MODES = ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "YCbCr", "I", "F"]
FORMATS = {"CMYK": "TIFF", "YCbCr": "JPEG", "I": "TIFF", "F": "TIFF"}


@pytest.fixture(scope="module")
def original() -> SimpleNamespace:
    return load_original()


def make_image(mode: str, size: tuple[int, int], seed: int) -> Image.Image:
    """Noise over a gradient, so that a difference of resampling shows."""
    rng = np.random.default_rng(seed)
    width, height = size
    gradient = np.linspace(0, 200, width * height * 4).reshape(height, width, 4)
    levels = (gradient + rng.integers(0, 56, gradient.shape)).astype(np.uint8)
    if mode == "I;16":
        return Image.fromarray(levels[:, :, 0].astype(np.uint16) * 257)
    return (
        Image.fromarray(levels, "RGBA").convert("RGB").convert(mode)
        if mode in ("CMYK", "YCbCr", "P", "1", "I", "F")
        else Image.fromarray(levels, "RGBA").convert(mode)
    )


def expected_pixels(original: SimpleNamespace, path: Path, size: int) -> Any:
    processor = CLIPImageProcessorPil(
        size={"shortest_edge": size}, crop_size={"height": size, "width": size}
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        image = Image.open(path).convert("RGB")
    color = tuple(int(x * 255) for x in processor.image_mean)
    square = original.expand2square(image, color)
    return processor.preprocess(square, return_tensors="np")["pixel_values"][0]


def write_images(folder: Path) -> list[Path]:
    paths = []
    for number, (mode, size) in enumerate((mode, size) for mode in MODES for size in SHAPES):
        path = folder / f"{number}.{FORMATS.get(mode, 'PNG').lower()}"
        make_image(mode, size, number).save(path, FORMATS.get(mode, "PNG"))
        paths.append(path)
    photo = make_image("RGB", (90, 60), 1)
    exif = Image.Exif()
    for orientation in range(1, 9):  # not applied, as in the original
        exif[0x0112] = orientation
        paths.append(folder / f"orientation-{orientation}.jpg")
        photo.save(paths[-1], "JPEG", exif=exif)
    for quality in (1, 30, 95):
        paths.append(folder / f"quality-{quality}.jpg")
        photo.save(paths[-1], "JPEG", quality=quality, progressive=quality == 30)
    paths.append(folder / "a-gif-called.jpg")
    frames = [make_image("P", (70, 40), seed) for seed in (2, 3)]
    frames[0].save(paths[-1], "GIF", save_all=True, append_images=frames[1:], transparency=0)
    paths.append(folder / "transparent-palette.png")
    make_image("P", (33, 77), 4).save(paths[-1], "PNG", transparency=bytes(range(256)))
    for name in ("WEBP", "BMP", "TIFF"):
        paths.append(folder / f"other.{name.lower()}")
        photo.save(paths[-1], name)
    return paths


@pytest.mark.slow
def test_pixels_are_bit_equal(tmp_path: Path, original: SimpleNamespace) -> None:
    paths = write_images(tmp_path)
    assert len(paths) >= 100
    for path in paths:
        ours = load_pixels(path)
        assert ours.dtype == np.float32
        assert ours.shape == (3, 336, 336)
        assert np.array_equal(ours, expected_pixels(original, path, 336)), path.name


@pytest.mark.parametrize("size", [28, 112, 224])
def test_other_sizes_are_bit_equal(size: int, tmp_path: Path, original: SimpleNamespace) -> None:
    path = tmp_path / "image.png"
    make_image("RGB", (300, 200), size).save(path)
    assert np.array_equal(load_pixels(path, size), expected_pixels(original, path, size))
