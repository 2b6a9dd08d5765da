"""Image files to pixels, bit for bit as the published pipeline makes them.

That is: RGB without looking at EXIF orientation, padded to a square with the mean colour, bicubic
resize by Pillow, then scaled and normalised as CLIP's image processor does.

The only module that opens image files, and only of the formats that photographs have: Pillow
knows forty others, hands some to programs of the machine, and goes by the bytes, not by the name.
"""

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError, __version__, features

from qinstruct_trainer.contract.errors import DataError, StorageError
from qinstruct_trainer.file_kinds import file_kind
from qinstruct_trainer.storage_errors import OF_THE_MACHINE, DiskFailure, way_out

Pixels = npt.NDArray[np.float32]
Levels = npt.NDArray[np.uint8]

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)  # openai/clip-vit-large-patch14-336
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
PADDING = (122, 116, 104)  # int(255 * CLIP_MEAN), as the published code rounds
# Twice Pillow's own warning threshold, where Pillow refuses; here also for the padded square.
MAX_PIXELS = 178_956_970
_THUMBNAIL = 320  # pixels of its longer edge
FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF")
_STARTS = re.compile(rb"\xff\xd8\xff|\x89PNG\r\n|GIF8|BM|RIFF.{4}WEBP|II\*\0|MM\0\*", re.DOTALL)


def load_pixels(path: Path, size: int = 336) -> Pixels:
    """Decode an image for the vision tower.

    Args:
        path: Any of `FORMATS`; the file name's extension does not matter.
        size: Edge of the square in pixels.

    Returns:
        [3, size, size], RGB, normalised.

    Raises:
        DataError: the file is not an image, is truncated, or is too large to decode safely.
        StorageError: it cannot be read, which says nothing of what is in it.
    """
    levels = load_levels(path, size)
    pixels = np.empty(levels.shape, np.float32)
    normalise(levels, pixels)
    return pixels


def load_levels(path: Path, size: int = 336) -> Levels:
    """The same before normalisation, which is what a pixel store holds: [3, size, size], RGB.

    Raises:
        DataError, StorageError: as `load_pixels` would.
    """
    with _decoded(path) as image:
        return _levels(_rgb(image), size)


def normalise(levels: Levels, pixels: Pixels) -> None:
    """Scale and normalise as CLIP's image processor does, without memory for what is between.

    That multiplies by 1 / 255 in 64 bits and rounds to 32, which is what a division in 32 bits
    gives for each of the 256 levels.

    Args:
        levels: [3, S, S].
        pixels: [3, S, S]; the result is written here.
    """
    for level, pixel, mean, std in zip(levels, pixels, CLIP_MEAN, CLIP_STD, strict=True):
        np.divide(level, np.float32(255), out=pixel, dtype=np.float32)
        np.subtract(pixel, np.float32(mean), out=pixel)
        np.divide(pixel, np.float32(std), out=pixel)


@dataclass(frozen=True, eq=False)
class Examined:
    """An image that decodes.

    Attributes:
        levels: [3, S, S] as `load_levels` gives it, where a size was asked for.
        is_destroyed: Whether the published pipeline makes white or black of what it shows.
    """

    levels: Levels | None
    is_destroyed: bool


def examine_image(path: Path, size: int | None = None) -> Examined:
    """Decode the whole file, once for all that is asked about it.

    Raises:
        DataError, StorageError: as `load_pixels` would.
    """
    with _decoded(path) as image:
        rgb = _rgb(image)
        levels = None if size is None else _levels(rgb, size)
        return Examined(levels, _is_destroyed(image))


@dataclass(frozen=True)
class Picture:
    """What an image file is.

    Attributes:
        width: In pixels.
        height: In pixels.
        format: Of `FORMATS`.
        thumbnail: A small JPEG; empty where none was asked for.
    """

    width: int
    height: int
    format: str
    thumbnail: bytes = b""


def look_at(path: Path, *, with_thumbnail: bool) -> Picture:
    """Size and format; for a thumbnail the whole file is decoded.

    Raises:
        DataError, StorageError: as `load_pixels` would.
    """
    with _decoded(path) as image:
        width, height = image.size
        if not with_thumbnail:
            return Picture(width, height, image.format or "")
        small = image.convert("RGB")
        small.thumbnail((_THUMBNAIL, _THUMBNAIL))
        out = io.BytesIO()
        small.save(out, "JPEG", quality=80)
        return Picture(width, height, image.format or "", out.getvalue())


def decoders() -> str:
    """The libraries that decide what pixels a file has, and whether it decodes; with versions."""
    libraries = ("libjpeg_turbo", "libtiff", "webp", "zlib")
    versions = [f"{name} {features.version(name)}" for name in libraries]
    return ", ".join([f"pillow {__version__}", *versions])


def starts_like_image(path: Path) -> bool:
    """Whether a file begins as those of `FORMATS` do. Nothing is decoded."""
    with path.open("rb") as file:
        return _STARTS.match(file.read(16)) is not None


def open_image(file: Path | IO[bytes]) -> Image.Image:
    """An image of one of `FORMATS`, not decoded yet.

    Raises:
        UnidentifiedImageError: it is none.
        OSError: it cannot be read.
    """
    return Image.open(file, formats=FORMATS)


@contextmanager
def _decoded(path: Path) -> Iterator[Image.Image]:
    """An opened image whose size is safe; whatever a decoder raises becomes a DataError."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of Pillow: a large image, odd metadata
            with open_image(path) as image:
                _check_size(path, image)
                yield image
    except DataError:
        raise
    except FileNotFoundError as error:
        raise DataError(f"image {path} is missing; fetch it or drop its records") from error
    except Image.DecompressionBombError as error:  # before its size could be read
        raise DataError(
            f"image {path} is more than {MAX_PIXELS:,} pixels; make it smaller or drop its records"
        ) from error
    except UnidentifiedImageError as error:
        kind = file_kind(path)
        what = f"but {kind.name}" if kind else "whatever its name says"
        raise DataError(
            f"image {path} is no JPEG, PNG, GIF, BMP, WebP or TIFF image, {what}; "
            "fetch it again, convert it or drop its records"
        ) from error
    except Exception as error:  # a hostile file can make a decoder raise anything
        if isinstance(error, OSError) and error.errno in OF_THE_MACHINE:
            failure = DiskFailure(is_full=False, reason=str(error.strerror), number=error.errno)
            raise StorageError(
                f"image {path} cannot be read: {failure.reason}; {way_out(path, failure)}"
            ) from error
        raise DataError(
            f"image {path} does not decode ({type(error).__name__}: {error!s:.120}); "
            "fetch it again or drop its records"
        ) from error


def _check_size(path: Path, image: Image.Image) -> None:
    """Padding squares the longer edge, so that a strip can be a bomb as well."""
    width, height = image.size
    if max(width, height) ** 2 > MAX_PIXELS:
        raise DataError(
            f"image {path} is {width} x {height} pixels, which padded to a square is more than "
            f"{MAX_PIXELS:,} pixels; make it smaller or drop its records"
        )


def _is_destroyed(image: Image.Image) -> bool:
    """16-bit and float pixels are clipped to 0 to 255, not scaled: photographs become white."""
    if not image.mode.startswith(("I", "F")):
        return False
    lowest, highest = (float(value) for value in image.getextrema())  # type: ignore[arg-type] # one channel
    return lowest < 0 or highest > 255 or (image.mode == "F" and highest <= 1)


def _rgb(image: Image.Image) -> Image.Image:
    """Decoded; the image itself where it is one, of which `convert` would make a copy."""
    image.load()
    return image if image.mode == "RGB" else image.convert("RGB")


def _levels(image: Image.Image, size: int) -> Levels:
    """Padded to a square and resized; [3, size, size].

    Pillow resizes along the rows first, and rows of padding stay what they are: they are added
    between its two passes, which is as exact and saves a quarter of a photograph's time.
    """
    edge = max(image.size)
    if image.width > image.height:
        image = image.resize((size, image.height), Image.Resampling.BICUBIC)
        square = _padded(image, size, edge)
    else:
        square = _padded(image, edge, edge)
    small = square.resize((size, size), Image.Resampling.BICUBIC)
    levels = np.empty((3, size, size), np.uint8)
    # Plane by plane: to transpose all at once takes three times as long.
    for level, plane in zip(levels, small.split(), strict=True):
        level[...] = np.asarray(plane)
    return levels


def _padded(image: Image.Image, width: int, height: int) -> Image.Image:
    """In the middle of the mean colour."""
    if image.size == (width, height):
        return image
    padded = Image.new("RGB", (width, height), PADDING)
    padded.paste(image, ((width - image.width) // 2, (height - image.height) // 2))
    return padded
