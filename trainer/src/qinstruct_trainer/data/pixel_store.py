"""The pixel store: images as `load_levels` makes them, so that training decodes none.

A segment holds some images of one folder; prep fills it with the decode that verifies them:

    images.json   size, and of each image its name, what is wrong with it, and a checksum
    pixels.bin    [N, 3, S, S] uint8; zeros in the place of an image that is bad

A table joins the segments that one run needs:

    meta.json     size and segments
    table.bin     sorted by `key`: where the pixels of an image are, and their checksum

Pixels are read, not mapped: a mapped file that is cut off kills the process, and a network volume
gives a whole image at once rather than page by page. Numbers are little-endian.
"""

import errno
import hashlib
import logging
import os
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from qinstruct_trainer.data.images import Levels, load_levels
from qinstruct_trainer.durable_files import open_to_read, read_whole

PIXELS: Final = "pixels.bin"
IMAGES: Final = "images.json"
META: Final = "meta.json"
TABLE: Final = "table.bin"
ROW: Final = np.dtype([("key", "<u8"), ("segment", "<u4"), ("row", "<u4"), ("crc", "<u4")])

_log = logging.getLogger(__name__)
_MAX_SIZE: Final = 2048
_MAX_META_BYTES: Final = 16 << 20  # of 100,000 segments; a published run has 200
_MAX_TABLE_BYTES: Final = ROW.itemsize << 24  # of 16,777,216 images
_MAX_IMAGES_BYTES: Final = 64 << 20  # of 2,048 images, each with the longest path and a fault


class SegmentImages(BaseModel):
    """images.json: what one decode of each image found.

    Attributes:
        size: Edge of the stored squares; None: images were only verified, nothing is stored.
        names: Paths below the folder, in the order of the pixels.
        crcs: CRC-32 of the pixels of each; 0 where there are none.
        faults: Of each bad image, why it cannot be trained on.
        destroyed: See `qinstruct_trainer.data.images.Examined`.
    """

    model_config = ConfigDict(frozen=True)
    size: int | None = Field(ge=1, le=_MAX_SIZE)
    names: tuple[str, ...]
    crcs: tuple[int, ...]
    faults: dict[str, str]
    destroyed: tuple[str, ...]

    @model_validator(mode="after")
    def _has_a_checksum_of_each(self) -> Self:
        if len(self.crcs) != len(self.names):
            raise ValueError("names and checksums differ in number")
        return self


def read_segment(folder: Path) -> SegmentImages | None:
    """What a segment says of its images; None where that cannot be read."""
    try:
        _refuse_link(folder)
        return SegmentImages.model_validate_json(read_whole(folder / IMAGES, _MAX_IMAGES_BYTES))
    except (OSError, ValidationError):
        return None


class StoreMeta(BaseModel):
    """meta.json."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    size: int = Field(ge=1, le=_MAX_SIZE)
    segments: tuple[Path, ...]


def levels_bytes(size: int) -> int:
    """Bytes of one image."""
    return 3 * size * size


def image_key(path: Path) -> int:
    """64 bits of a digest of an image's path: 350,000 images collide once in 300 million runs."""
    return int.from_bytes(hashlib.blake2b(os.fsencode(path), digest_size=8).digest(), "little")


def write_table(folder: Path, meta: StoreMeta, rows: npt.NDArray[Any]) -> None:
    """Write meta.json and table.bin; of two images with one key neither is in the table."""
    _, first, count = np.unique(rows["key"], return_index=True, return_counts=True)
    (folder / TABLE).write_bytes(rows[first[count == 1]].tobytes())
    (folder / META).write_text(meta.model_dump_json(indent=2) + "\n", "utf-8")


@dataclass(frozen=True, eq=False)
class PixelStore:
    """Stored pixels by the image's path; whatever is not there, or damaged, is decoded."""

    size: int
    table: npt.NDArray[Any]
    segments: tuple[int | None, ...] = field(repr=False)

    @classmethod
    def open(cls, folder: Path, size: int) -> Self | None:
        """Open what prep has made.

        Args:
            folder: That of the table.
            size: Edge of the square in pixels that the model takes.

        Returns:
            None if it cannot be used, which is logged: training then decodes images itself.
        """
        try:
            _refuse_link(folder)
            meta = StoreMeta.model_validate_json(read_whole(folder / META, _MAX_META_BYTES))
            table = np.frombuffer(read_whole(folder / TABLE, _MAX_TABLE_BYTES), ROW)
        except (OSError, ValidationError, ValueError) as error:
            _log.warning("pixels in %s cannot be read (%s); images are decoded", folder, error)
            return None
        if meta.size != size:
            _log.warning(
                "pixels in %s are squares of %d, the model takes %d; images are decoded",
                *(folder, meta.size, size),
            )
            return None
        return cls(size, table, tuple(_opened(segment) for segment in meta.segments))

    def levels(self, path: Path) -> Levels:
        """The image before normalisation: [3, S, S], RGB, as `load_levels` gives it.

        Raises:
            DataError, StorageError: it is not stored and does not decode.
        """
        stored = self._stored(path)
        return load_levels(path, self.size) if stored is None else stored

    def _stored(self, path: Path) -> Levels | None:
        key = np.uint64(image_key(path))
        place = int(np.searchsorted(self.table["key"], key))
        if place == len(self.table) or self.table["key"][place] != key:
            return None
        segment, row, crc = (int(self.table[place][name]) for name in ("segment", "row", "crc"))
        descriptor = self.segments[segment] if segment < len(self.segments) else None
        if descriptor is None:
            return None
        num_bytes = levels_bytes(self.size)
        try:
            content = os.pread(descriptor, num_bytes, row * num_bytes)
        except OSError as error:
            _log.warning("stored pixels of %s cannot be read (%s); it is decoded", path, error)
            return None
        if len(content) != num_bytes or zlib.crc32(content) != crc:
            _log.warning("stored pixels of %s are damaged; it is decoded", path)
            return None
        return np.frombuffer(content, np.uint8).reshape(3, self.size, self.size)


def _refuse_link(folder: Path) -> None:
    """No unit of a cache is a link, nor is a file in one."""
    if folder.is_symlink():
        raise OSError(errno.ELOOP, "it is a link", str(folder))


def _opened(segment: Path) -> int | None:
    """A descriptor of its pixels, for as long as the process runs."""
    try:
        _refuse_link(segment)
        return open_to_read(segment / PIXELS)
    except OSError as error:
        _log.warning("stored pixels in %s cannot be read (%s); images are decoded", segment, error)
        return None
