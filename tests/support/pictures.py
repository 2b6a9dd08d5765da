"""Pictures of every mode, coding and shape that training may meet, as files."""

import io
from itertools import product
from pathlib import Path

import numpy as np
from PIL import Image

SHAPES = [(336, 336), (1, 1), (1, 400), (1200, 3), (640, 480), (481, 640), (335, 336), (50, 20)]
MODES = ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "YCbCr", "I", "F"]
FORMATS = {"CMYK": "TIFF", "YCbCr": "JPEG", "I": "TIFF", "F": "TIFF"}
SUBSAMPLINGS = [0, 1, 2]  # 4:4:4, 4:2:2, 4:2:0


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


def write_pictures(folder: Path) -> list[Path]:
    """Write more than 200, the same each time."""
    folder.mkdir(parents=True, exist_ok=True)
    contents = other_pictures() | jpegs()
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return [folder / name for name in contents]


def jpegs() -> dict[str, bytes]:
    """JPEG files by name: every coding and subsampling, odd sizes, restarts, orientations."""
    found = {}
    sizes = [(90, 60), (61, 93), (17, 1), (1, 17), (8, 8), (127, 5)]
    for number, (coding, size) in enumerate(product(SUBSAMPLINGS, sizes)):
        buffer = io.BytesIO()
        make_image("RGB", size, number).save(buffer, "JPEG", quality=60, subsampling=coding)
        found[f"{coding}-{size[0]}.jpg"] = buffer.getvalue()
    options: dict[str, dict[str, object]] = {
        "rgb": {"keep_rgb": True},
        "restarts": {"restart_marker_blocks": 2},
        "optimised": {"optimize": True},
        "comment": {"comment": "a" * 60_000},
        "profile": {"icc_profile": bytes(70_000)},
    }
    for quality, progressive, sampling in product((1, 30, 75, 100), (False, True), SUBSAMPLINGS):
        options[f"q{quality}-{progressive:d}-{sampling}"] = {
            "quality": quality,
            "progressive": progressive,
            "subsampling": sampling,
        }
    for orientation in range(1, 9):  # not applied, as in the original
        exif = Image.Exif()
        exif[0x0112] = orientation
        options[f"orientation-{orientation}"] = {"exif": exif}
    modes = {"": "RGB", "grey-": "L", "cmyk-": "CMYK"}
    for (prefix, mode), (name, option) in product(modes.items(), options.items()):
        found[f"{prefix}{name}.jpg"] = _saved(
            make_image(mode, (67, 49), len(found)), "JPEG", option
        )
    return found


def other_pictures() -> dict[str, bytes]:
    """Files of every mode and shape, and of other formats under the name of a JPEG."""
    found = {}
    for number, (mode, size) in enumerate(product(MODES, SHAPES)):
        kind = FORMATS.get(mode, "PNG")
        found[f"{number}.{kind.lower()}"] = _saved(make_image(mode, size, number), kind)
    frames = [make_image("P", (70, 40), seed) for seed in (2, 3)]
    animated = {"save_all": True, "append_images": frames[1:], "transparency": 0}
    found["a-gif-called.jpg"] = _saved(frames[0], "GIF", animated)
    palette = make_image("P", (33, 77), 4)
    found["transparent-palette.png"] = _saved(palette, "PNG", {"transparency": bytes(range(256))})
    photo = make_image("RGB", (90, 60), 1)
    for kind in ("WEBP", "PNG", "BMP", "TIFF", "MPO"):
        found[f"a-{kind.lower()}-called.jpg"] = _saved(photo, kind)
    return found


def _saved(image: Image.Image, kind: str, options: dict[str, object] | None = None) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **(options or {}))
    return buffer.getvalue()
