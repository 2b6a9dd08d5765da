"""Decodes each image that records refer to once: to verify it, and to store its pixels.

The unit is a segment: some images of one folder, with what the decode found of each, and with
their pixels where a store is wanted and fits. So prep, killed, goes on behind the last segment,
and a later run with other labels looks up every image that some run before it has decoded; only
the others are decoded, into segments of their own. An image is its path below an extracted unit,
which never changes; the libraries that decode are part of the key, because pixels differ between
their versions.
"""

import hashlib
import json
import logging
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from qinstruct_trainer.contract.errors import DataError
from qinstruct_trainer.data.images import decoders
from qinstruct_trainer.data.pixel_store import (
    IMAGES,
    PIXELS,
    ROW,
    SegmentImages,
    StoreMeta,
    image_key,
    levels_bytes,
    read_segment,
    write_table,
)
from qinstruct_trainer.prep.images import (
    Findings,
    Target,
    by_root,
    decode_images,
    findings,
    missing_faults,
)
from qinstruct_trainer.prep.progress import Progress
from qinstruct_trainer.prep.unit_cache import UnitCache
from qinstruct_trainer.prep.unit_manifest import Unit

_log = logging.getLogger(__name__)
_SEGMENT: Final = 2048  # images: 694 MB of pixels, and what a kill costs, 20 s of one core
_SPARE: Final = 1 << 30  # bytes of the cache for what nobody counts


@dataclass(frozen=True)
class Segment:
    """A finished segment of an image folder."""

    unit: Unit
    folder: Path
    found: SegmentImages


@dataclass(frozen=True)
class PixelUnits:
    """The segments of the image folders of a run.

    Attributes:
        roots: Image folders.
        keys: Of the units that they belong to.
        size: Edge in pixels of the squares to store.
        code: Version of the code that makes a segment, as it stands in keys.
        reserve: Bytes of the cache that the run still needs for other things.
        stores: Whether pixels are wanted at all.
    """

    cache: UnitCache
    roots: tuple[Path, ...]
    keys: tuple[str, ...]
    size: int
    code: str
    reserve: int = 0
    stores: bool = True

    def examine(self, images: Sequence[str], progress: Progress) -> Findings:
        """Decode every image, or look up what was found before; store the pixels if they fit.

        Args:
            images: Paths below a root.
            progress: Counts the images.

        Raises:
            DataError: a process that decodes was killed.
            StorageError: an image cannot be read, which says nothing of what is in it; the disk
                is full.
        """
        progress.total = len(images)
        in_root, missing = by_root(images, self.roots)
        faults = missing_faults(missing, self.roots)
        destroyed: set[str] = set()
        known = self._known(in_root)
        size = self.size if self._fits(in_root, known) else None
        for number, names in in_root.items():
            of_root = set(names)
            for segment in self._segments(number, names, known[number], size, progress):
                bad = segment.found.faults.items()
                faults |= {name: fault for name, fault in bad if name in of_root}
                destroyed |= of_root.intersection(segment.found.destroyed)
        progress.set(len(images))
        progress.finish()
        return findings(images, faults, destroyed)

    def table(self, images: Sequence[str], progress: Progress) -> Path | None:
        """The folder of the table that joins the segments of all images.

        Returns:
            None where there is no room for them, which is logged, or none are wanted.

        Raises:
            As `examine`.
        """
        if not self.stores:
            return None
        progress.total = len(images)
        in_root, _ = by_root(images, self.roots)
        known = self._known(in_root)
        if not self._fits(in_root, known):
            _log.warning(
                "the pixels of %s images take %s bytes, more than the cache has left for them; "
                "training decodes the images",
                *(f"{len(images):,}", f"{len(images) * levels_bytes(self.size):,}"),
            )
            return None
        segments = {
            number: tuple(self._segments(number, names, known[number], self.size, progress))
            for number, names in in_root.items()
        }
        keys = [segment.unit.key for of_root in segments.values() for segment in of_root]
        roots = [str(root) for root in self.roots]
        unit = Unit("pixels", "table", (*keys, *roots, _digest(images), *self._made_by))

        def build(folder: Path) -> None:
            self._write_table(folder, in_root, segments)
            progress.set(len(images))
            progress.finish()

        return self.cache.get(unit, build)

    def _known(self, roots: Iterable[int]) -> dict[int, tuple[Segment, ...]]:
        """The segments that are there, made as we make them, stored ones and verified ones."""
        return {
            root: tuple(
                segment
                for unit, folder in self.cache.finished("pixels", self._item(root))
                if unit.key_parts[:2] == self._made_by
                and (segment := _read_segment(unit, folder)) is not None
                and segment.found.size in (None, self.size)
            )
            for root in roots
        }

    def _fits(
        self, in_root: Mapping[int, Sequence[str]], known: Mapping[int, Sequence[Segment]]
    ) -> bool:
        """Whether pixels are wanted, and there is room for those that are not stored yet."""
        if not self.stores:
            return False
        new = 0
        for number, names in in_root.items():
            segments = (segment for segment in known[number] if segment.found.size is not None)
            stored = {name for segment in segments for name in segment.found.names}
            new += sum(name not in stored for name in names)
        free = shutil.disk_usage(self.cache.root).free
        return new == 0 or new * levels_bytes(self.size) + self.reserve + _SPARE <= free

    def _segments(
        self,
        root: int,
        names: Sequence[str],
        known: Sequence[Segment],
        size: int | None,
        progress: Progress,
    ) -> Iterator[Segment]:
        """Segments that have all of these images, those included that must be made.

        With a size, only of stored pixels.
        """
        left = dict.fromkeys(names)
        for segment in known:
            if size is not None and segment.found.size is None:
                continue
            before = len(left)
            for name in segment.found.names:
                left.pop(name, None)
            if len(left) < before:
                progress.done += before - len(left)  # no event: nothing is done for them
                yield segment
        new = list(left)
        for start in range(0, len(new), _SEGMENT):
            yield self._segment(root, new[start : start + _SEGMENT], size, progress)

    def _segment(
        self, root: int, names: Sequence[str], size: int | None, progress: Progress
    ) -> Segment:
        parts = (*self._made_by, str(size) if size else "only verified", _digest(names))
        unit = Unit("pixels", self._item(root), parts)
        folder = self.cache.get(
            unit, lambda folder: _write_segment(folder, self.roots[root], names, size, progress)
        )
        segment = _read_segment(unit, folder)
        if segment is None:  # it was just found whole
            raise DataError(f"{folder / IMAGES} was damaged; delete {folder} and run again")
        return segment

    @property
    def _made_by(self) -> tuple[str, str]:
        return (decoders(), self.code)

    def _item(self, root: int) -> str:
        return f"images-{self.keys[root]}"

    def _write_table(
        self,
        folder: Path,
        in_root: Mapping[int, Sequence[str]],
        segments: Mapping[int, Sequence[Segment]],
    ) -> None:
        rows = []
        folders: list[Path] = []
        for root, of_root in segments.items():
            left = set(in_root[root])
            for segment in of_root:
                for row, (name, crc) in enumerate(
                    zip(segment.found.names, segment.found.crcs, strict=True)
                ):
                    if name in left and name not in segment.found.faults:
                        left.discard(name)
                        rows.append((image_key(self.roots[root] / name), len(folders), row, crc))
                folders.append(segment.folder)
        meta = StoreMeta(size=self.size, segments=tuple(folders))
        write_table(folder, meta, np.array(rows, ROW))


def _write_segment(
    folder: Path, root: Path, names: Sequence[str], size: int | None, progress: Progress
) -> None:
    target = None
    if size is not None:
        target = Target(folder / PIXELS, size)
        with target.path.open("wb") as file:
            file.truncate(len(names) * levels_bytes(size))
    crcs: list[int] = []
    faults: dict[str, str] = {}
    destroyed: list[str] = []
    for name, found in zip(names, decode_images(names, root, target), strict=True):
        progress.add()
        crcs.append(found.crc)
        if found.fault is not None:
            faults[name] = found.fault
        if found.is_destroyed:
            destroyed.append(name)
    images = SegmentImages(
        size=size,
        names=tuple(names),
        crcs=tuple(crcs),
        faults=faults,
        destroyed=tuple(destroyed),
    )
    (folder / IMAGES).write_text(images.model_dump_json() + "\n", "utf-8")


def _read_segment(unit: Unit, folder: Path) -> Segment | None:
    found = read_segment(folder)
    return None if found is None else Segment(unit, folder, found)


def _digest(names: Sequence[str]) -> str:
    return hashlib.sha256(json.dumps(list(names)).encode()).hexdigest()
