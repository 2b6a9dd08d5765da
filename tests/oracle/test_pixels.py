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
from support.pictures import make_image, write_pictures


@pytest.fixture(scope="module")
def original() -> SimpleNamespace:
    return load_original()


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


@pytest.mark.slow
def test_pixels_are_bit_equal(tmp_path: Path, original: SimpleNamespace) -> None:
    paths = write_pictures(tmp_path)
    assert len(paths) >= 200
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
