"""The real subjects: photographs that scikit-image carries in its wheel.

Only files inside the installed package are read; nothing is downloaded.
"""

from dataclasses import dataclass
from importlib.resources import files

import numpy as np
from PIL import Image

from qinstruct_trainer.data.images import open_image

_SMALLEST_CROP = 150
_CROPS_TRIED = 4


@dataclass(frozen=True)
class Photograph:
    """One subject; stereo views of the same thing are one subject."""

    name: str
    phrase: str
    file_names: tuple[str, ...]


# Left out: files that are blurred or faint (clock_motion, cell, moon, retina, hubble_deep_field),
# too small, or drawn.
PHOTOGRAPHS = (
    Photograph("astronaut", "an astronaut in an orange suit", ("astronaut.png",)),
    Photograph("brick", "a brick wall", ("brick.png",)),
    Photograph("camera", "a man with a camera on a tripod", ("camera.png",)),
    Photograph("chelsea", "a tabby cat", ("chelsea.png",)),
    Photograph("coffee", "a cup of coffee on a table", ("coffee.png",)),
    Photograph("coins", "old coins", ("coins.png",)),
    Photograph("grass", "a patch of grass", ("grass.png",)),
    Photograph("gravel", "gravel on the ground", ("gravel.png",)),
    Photograph("ihc", "a stained tissue sample", ("ihc.png",)),
    Photograph(
        "motorcycle", "a motorcycle in a garage", ("motorcycle_left.png", "motorcycle_right.png")
    ),
    Photograph("page", "a printed page", ("page.png",)),
    Photograph("rocket", "a rocket on its launch pad", ("rocket.jpg",)),
    Photograph("text", "handwriting on paper", ("text.png",)),
)


def load_photographs(photograph: Photograph) -> tuple[Image.Image, ...]:
    """The subject's pictures, RGB."""
    folder = files("skimage") / "data"
    pictures = []
    for file_name in photograph.file_names:
        with (folder / file_name).open("rb") as stream, open_image(stream) as picture:
            pictures.append(picture.convert("RGB"))
    return tuple(pictures)


def sharpest_crop(picture: Image.Image, size: int, rng: np.random.Generator) -> Image.Image:
    """The sharpest of a few random square crops, scaled down to `size` x `size`.

    A crop of a blurred background would make "the image is sharp" untrue.
    """
    crops = [_random_crop(picture, size, rng) for _ in range(_CROPS_TRIED)]
    return max(crops, key=_sharpness)


def _random_crop(picture: Image.Image, size: int, rng: np.random.Generator) -> Image.Image:
    shorter = min(picture.size)
    side = int(rng.integers(min(_SMALLEST_CROP, shorter), shorter, endpoint=True))
    left = int(rng.integers(0, picture.width - side, endpoint=True))
    top = int(rng.integers(0, picture.height - side, endpoint=True))
    box = (left, top, left + side, top + side)
    crop = picture.resize((size, size), Image.Resampling.LANCZOS, box=box, reducing_gap=2.0)
    return crop.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if rng.random() < 0.5 else crop


def _sharpness(picture: Image.Image) -> float:
    """Mean absolute Laplacian of the luminance over its standard deviation."""
    luma = np.asarray(picture.convert("L"), dtype=np.float32)
    laplacian = 4 * luma[1:-1, 1:-1] - luma[:-2, 1:-1] - luma[2:, 1:-1]
    laplacian -= luma[1:-1, :-2] + luma[1:-1, 2:]
    return float(np.abs(laplacian).mean() / (luma.std() + 1.0))
