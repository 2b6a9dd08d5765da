"""The six distortions, each in two strengths that do not overlap.

Pixels are float32 [H, W, 3] in [0, 1], gamma-encoded sRGB as stored in the file.
"""

import io
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from qinstruct_trainer.data.images import open_image

Pixels = NDArray[np.float32]
Severity = Literal["slight", "severe"]
SEVERITIES: tuple[Severity, Severity] = ("slight", "severe")

_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)
_MIDDLE_GREY = 0.45
_BLACK, _WHITE = 0.02, 0.98
_MAX_GAMMA = 20.0
_BISECTIONS = 10  # leave the exponent 0.6 % wide


@dataclass(frozen=True)
class Distortion:
    """A known degradation; `strength` is drawn uniformly from the severity's range."""

    name: str
    answer: str
    adjective: str
    slight: tuple[float, float]
    severe: tuple[float, float]
    apply: Callable[[Pixels, float, np.random.Generator], Pixels]

    def draw_strength(self, severity: Severity, rng: np.random.Generator) -> float:
        """A strength of this severity."""
        low, high = self.slight if severity == "slight" else self.severe
        return float(rng.uniform(low, high))


def well_exposed(picture: Image.Image) -> Pixels:
    """The picture with full contrast and a middle-grey mean: what all distortions start from.

    The 1st and 99th percentiles of the luma go to black and white, then a gamma brings
    the mean to middle grey. So "dark" and "low contrast" are never true of the original.
    """
    pixels = np.asarray(picture.convert("RGB"), dtype=np.float32) / 255
    luma = pixels @ _LUMA
    low, high = np.percentile(luma, (1, 99))
    share = np.clip((pixels - low) / max(high - low, 0.05), 0.0, 1.0)
    # Short of black and white, which no gamma moves: a drawn background may be one of the two.
    stretched: Pixels = np.asarray(_BLACK + (_WHITE - _BLACK) * share, dtype=np.float32)
    return np.asarray(stretched ** np.float32(_gamma_to_middle_grey(stretched)), dtype=np.float32)


def _gamma_to_middle_grey(pixels: Pixels) -> float:
    """The exponent that brings the mean luma to middle grey: bisection, on every 5th pixel."""
    sample = pixels.reshape(-1, 3)[::5]  # no period of a drawn pattern
    low, high = 1 / _MAX_GAMMA, _MAX_GAMMA
    for _ in range(_BISECTIONS):
        middle = math.sqrt(low * high)
        is_bright = float((sample ** np.float32(middle) @ _LUMA).mean()) > _MIDDLE_GREY
        low, high = (middle, high) if is_bright else (low, middle)
    return math.sqrt(low * high)


def to_picture(pixels: Pixels) -> Image.Image:
    """Pixels as an 8-bit picture."""
    return Image.fromarray(np.rint(np.clip(pixels, 0, 1) * 255).astype(np.uint8))


def _from_picture(picture: Image.Image) -> Pixels:
    return np.asarray(picture, dtype=np.float32) / np.float32(255)


def _blur(pixels: Pixels, sigma: float, rng: np.random.Generator) -> Pixels:
    del rng
    return _from_picture(to_picture(pixels).filter(ImageFilter.GaussianBlur(sigma)))


def _noise(pixels: Pixels, sigma: float, rng: np.random.Generator) -> Pixels:
    return pixels + rng.normal(0.0, sigma, pixels.shape).astype(np.float32)


def _gain(pixels: Pixels, gain: float, rng: np.random.Generator) -> Pixels:
    del rng
    return pixels * np.float32(gain)


def _contrast(pixels: Pixels, factor: float, rng: np.random.Generator) -> Pixels:
    del rng
    mean = np.float32((pixels @ _LUMA).mean())
    return mean + (pixels - mean) * np.float32(factor)


def _compress(pixels: Pixels, quality: float, rng: np.random.Generator) -> Pixels:
    del rng
    file = io.BytesIO()
    to_picture(pixels).save(file, "JPEG", quality=round(quality))
    with open_image(file) as picture:
        return _from_picture(picture.convert("RGB"))


DISTORTIONS = (
    Distortion("blur", "Blur", "blurry", (1.0, 1.5), (2.5, 4.0), _blur),
    Distortion("noise", "Noise", "noisy", (0.06, 0.09), (0.18, 0.30), _noise),
    Distortion("darkness", "Underexposure", "too dark", (0.45, 0.6), (0.12, 0.25), _gain),
    Distortion("brightness", "Overexposure", "too bright", (1.7, 2.1), (3.0, 4.5), _gain),
    Distortion("compression", "Compression", "blocky", (10, 16), (2, 5), _compress),
    Distortion("contrast", "Low contrast", "low in contrast", (0.3, 0.42), (0.1, 0.18), _contrast),
)
