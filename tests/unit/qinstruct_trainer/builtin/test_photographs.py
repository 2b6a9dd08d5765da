"""The photographs of the installed package, and crops of them."""

import numpy as np
import pytest
from PIL import Image, ImageFilter

from qinstruct_trainer.builtin.photographs import (
    PHOTOGRAPHS,
    Photograph,
    load_photographs,
    sharpest_crop,
)


@pytest.mark.parametrize("photograph", PHOTOGRAPHS, ids=lambda photograph: photograph.name)
def test_every_photograph_is_in_the_installed_package(photograph: Photograph) -> None:
    for picture in load_photographs(photograph):
        assert picture.mode == "RGB"
        assert min(picture.size) >= 150


def picture_of(name: str) -> Image.Image:
    photograph = next(photograph for photograph in PHOTOGRAPHS if photograph.name == name)
    return load_photographs(photograph)[0]


def test_stereo_views_are_one_subject() -> None:
    motorcycle = next(photograph for photograph in PHOTOGRAPHS if len(photograph.file_names) > 1)
    left, right = load_photographs(motorcycle)
    assert left.size == right.size
    assert left.tobytes() != right.tobytes()


@pytest.mark.parametrize("size", [(60, 400), (400, 60), (151, 151)])
def test_a_crop_has_the_asked_size_whatever_the_picture_has(size: tuple[int, int]) -> None:
    picture = picture_of("chelsea").resize(size)
    assert sharpest_crop(picture, 48, np.random.default_rng(0)).size == (48, 48)


def test_a_seed_gives_one_crop() -> None:
    picture = picture_of("coffee")
    first, same, other = (
        sharpest_crop(picture, 32, np.random.default_rng(seed)).tobytes() for seed in (1, 1, 2)
    )
    assert first == same
    assert first != other


def test_a_blurred_background_is_not_chosen() -> None:
    """Only the lower right quarter is sharp: what is chosen has more of it than crops have."""
    sharp = picture_of("brick").resize((600, 600))
    picture = sharp.filter(ImageFilter.GaussianBlur(12))
    picture.paste(sharp.crop((300, 300, 600, 600)), (300, 300))
    chosen = [detail(sharpest_crop(picture, 64, np.random.default_rng(seed))) for seed in range(12)]
    blurred = detail(picture.crop((0, 0, 300, 300)).resize((64, 64)))
    assert min(chosen) > 2 * blurred


def detail(picture: Image.Image) -> float:
    return float(np.abs(np.diff(np.asarray(picture.convert("L"), np.float32), axis=1)).mean())
