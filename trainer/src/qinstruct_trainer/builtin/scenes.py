"""The drawn subjects: seeded scenes with enough fine detail that a blur can be seen."""

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw

Color = tuple[int, int, int]
_OVERSAMPLING = 3
_GRAIN = 2.0  # of 255: a drawn surface is perfectly flat, a photographed one never


def draw_scene(size: int, rng: np.random.Generator) -> tuple[Image.Image, str]:
    """A scene of `size` x `size` pixels and the phrase that names it."""
    phrase, painter = _PAINTERS[int(rng.integers(len(_PAINTERS)))]
    side = size * _OVERSAMPLING
    canvas = Image.new("RGB", (side, side))
    painter(ImageDraw.Draw(canvas), side, rng)
    pixels = np.asarray(canvas.resize((size, size), Image.Resampling.BOX)) + rng.normal(
        0.0, _GRAIN, (size, size, 1)
    )
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)), phrase


def _color(rng: np.random.Generator, low: int = 30, high: int = 230) -> Color:
    red, green, blue = (int(value) for value in rng.integers(low, high, 3))
    return red, green, blue


def _gradient(
    draw: ImageDraw.ImageDraw, side: int, top: int, bottom: int, colors: tuple[Color, Color]
) -> None:
    """Fill rows [top, bottom) with a vertical gradient."""
    first, last = (np.array(color, dtype=np.float64) for color in colors)
    for row in range(top, bottom):
        share = (row - top) / max(1, bottom - top - 1)
        red, green, blue = (int(value) for value in first + share * (last - first))
        draw.line([(0, row), (side, row)], fill=(red, green, blue))


def _paint_city(draw: ImageDraw.ImageDraw, side: int, rng: np.random.Generator) -> None:
    _gradient(draw, side, 0, side, (_color(rng, 90, 220), _color(rng, 150, 250)))
    left = 0
    while left < side:
        width = int(side * rng.uniform(0.12, 0.28))
        top = int(side * rng.uniform(0.1, 0.65))
        draw.rectangle((left, top, left + width, side), fill=_color(rng, 30, 170))
        lit, dark = _color(rng, 170, 255), _color(rng, 10, 70)
        step = int(side * rng.uniform(0.035, 0.06))
        for x in range(left + step // 2, left + width - step // 2, step):
            for y in range(top + step // 2, side, step):
                fill = lit if rng.random() < 0.5 else dark
                draw.rectangle((x, y, x + step // 2, y + step * 0.6), fill=fill)
        left += width


def _paint_meadow(draw: ImageDraw.ImageDraw, side: int, rng: np.random.Generator) -> None:
    horizon = int(side * rng.uniform(0.25, 0.55))
    _gradient(draw, side, 0, horizon, (_color(rng, 80, 200), _color(rng, 160, 250)))
    _gradient(draw, side, horizon, side, (_color(rng, 40, 160), _color(rng, 20, 100)))
    x, y = rng.uniform(0.1, 0.9) * side, rng.uniform(0.05, 0.2) * side
    radius = side * rng.uniform(0.03, 0.08)
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=(255, 240, 180))
    greens = [_color(rng, 10, 240) for _ in range(5)]
    for _ in range(1500):
        x, y = rng.uniform(0, side), rng.uniform(horizon, side)
        tip = (x + rng.uniform(-0.02, 0.02) * side, y - rng.uniform(0.02, 0.08) * side)
        draw.line([(x, y), tip], fill=greens[int(rng.integers(5))], width=_OVERSAMPLING)


def _paint_shapes(draw: ImageDraw.ImageDraw, side: int, rng: np.random.Generator) -> None:
    _gradient(draw, side, 0, side, (_color(rng), _color(rng)))
    for _ in range(int(rng.integers(25, 50))):
        x, y = rng.uniform(0, side, 2)
        w, h = rng.uniform(0.04, 0.3, 2) * side
        outline = _color(rng, 0, 255)
        if rng.random() < 0.5:
            draw.ellipse((x, y, x + w, y + h), fill=_color(rng), outline=outline, width=4)
        else:
            draw.rectangle((x, y, x + w, y + h), fill=_color(rng), outline=outline, width=4)
    for _ in range(int(rng.integers(20, 60))):
        ends = [tuple(point) for point in rng.uniform(0, side, (2, 2))]
        draw.line(ends, fill=_color(rng, 0, 255), width=int(rng.integers(2, 6)))


def _paint_tiles(draw: ImageDraw.ImageDraw, side: int, rng: np.random.Generator) -> None:
    step = int(side * rng.uniform(0.05, 0.12))
    joint = _color(rng, 10, 240)
    palette = [_color(rng, 10, 245) for _ in range(4)]
    draw.rectangle((0, 0, side, side), fill=joint)
    for row, y in enumerate(range(0, side, step)):
        for x in range(-step // 2 * (row % 2), side, step):
            box = (x, y, x + step - _OVERSAMPLING, y + step - _OVERSAMPLING)
            draw.rectangle(box, fill=palette[int(rng.integers(4))])
            if rng.random() < 0.3:
                draw.line((box[0], box[1], box[2], box[3]), fill=joint, width=_OVERSAMPLING)


_Painter = Callable[[ImageDraw.ImageDraw, int, np.random.Generator], None]
_PAINTERS: tuple[tuple[str, _Painter], ...] = (
    ("a row of buildings", _paint_city),
    ("a meadow under the sky", _paint_meadow),
    ("colorful shapes", _paint_shapes),
    ("a tiled wall", _paint_tiles),
)
