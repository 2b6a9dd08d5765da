"""The unit cache: content-addressed folders, each built once, published by one rename.

A unit is the result of one stage for one item, in `<cache>/units/<stage>-<item>-<key>/`. Its key
is a digest of everything that its content depends on, so that a unit never changes and every run
may use it. It is built in a hidden sibling and renamed when its `manifest.json` is on disk: a
unit that has a name is whole. Who builds it holds its lease; others wait and then find it.

Others write into the cache too, so a unit is checked each time before it is used: that it is made
for this key, holds its files and nothing else, no link among them, each of its size, not written
to since, and some of them of their digest. Otherwise it is built again.
"""

import hashlib
import json
import os
import random
import re
import shutil
import stat
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from qinstruct_trainer.contract.errors import DataError
from qinstruct_trainer.contract.events import PrepProgress, PrepWaiting, Stage
from qinstruct_trainer.durable_files import (
    delete_tree,
    read_bounded,
    sha256_of,
    sync_path,
    write_durably,
)
from qinstruct_trainer.lease import Lease
from qinstruct_trainer.prep.progress import Report
from qinstruct_trainer.storage_errors import DiskFailure, storage_errors, way_out

MANIFEST = "manifest.json"

_KEY_CHARACTERS = 16  # 64 bits of the digest: enough to tell the units of one cache apart
_HASH_THREADS = 4
_SAMPLE_BYTES = 256 << 20  # of files whose digests are compared before a unit is used
_MAX_MANIFEST_BYTES = 128 << 20  # of 200,000 files, the most of a published source, 40 MB
# Of every file of a unit, so that one that was written to later differs, whatever its size, and
# that two units may share the bytes of a file. 2000-01-01: no file system rounds it.
_MTIME_NS = 946_684_800 * 10**9


@dataclass(frozen=True)
class Unit:
    """The name of a result.

    Attributes:
        stage: The stage that makes it.
        item: Source or model, for people.
        key_parts: Everything else that its content depends on: address, revision, digest, keys of
            the units that it is made from, version of the code that makes it.
    """

    stage: Stage
    item: str
    key_parts: tuple[str, ...]

    @cached_property
    def key(self) -> str:
        """Hexadecimal digest of stage, item and key parts."""
        parts = json.dumps([self.stage, self.item, *self.key_parts])
        return hashlib.sha256(parts.encode()).hexdigest()[:_KEY_CHARACTERS]

    @property
    def folder_name(self) -> str:
        """`<stage>-<item>-<key>`, safe for any file system."""
        item = re.sub(r"[^A-Za-z0-9._]+", "-", self.item).strip("-.")[-60:]
        return f"{self.stage}-{item or 'item'}-{self.key}"


class _File(BaseModel):
    model_config = ConfigDict(frozen=True)
    path: str
    bytes: int
    sha256: str


class UnitManifest(BaseModel):
    """What a unit holds; written last into it."""

    model_config = ConfigDict(frozen=True)
    stage: str
    item: str
    key_parts: tuple[str, ...]
    files: tuple[_File, ...]
    mtime_ns: int | None = None  # of each file; None in units of earlier versions


class UnitCache:
    """The units below `<root>/units`, and how to get one that is not there yet."""

    def __init__(self, root: Path, run: str, report: Report, *, stale_seconds: float = 60.0):
        self._root = root / "units"
        self._run = run
        self._report = report
        self._stale_seconds = stale_seconds
        self.downloads = root / "downloads"
        self.root = root

    def get(self, unit: Unit, build: Callable[[Path], None]) -> Path:
        """The unit's folder; `build` fills an empty folder if no run has made it before.

        Raises:
            StorageError: the disk is full or cannot be written.
            RunError: whatever `build` raises; nothing of its work is kept.
        """
        folder = self._root / unit.folder_name
        if is_whole(folder, unit):
            self._report_cached(unit)
            return folder
        with Lease.acquire(
            self._root / ".leases" / unit.folder_name,
            self._run,
            stale_seconds=self._stale_seconds,
            on_wait=lambda owner: self._report_waiting(unit, owner),
        ) as lease:
            if is_whole(folder, unit):
                self._report_cached(unit)
                return folder
            with storage_errors(str(folder), _storage_sentence):
                self._sweep(folder)
                _build(unit, folder, build, lease)
        return folder

    def finished(self, stage: Stage, item: str) -> Iterator[tuple[Unit, Path]]:
        """Every whole unit of a stage and an item, whatever else its content depends on."""
        prefix = Unit(stage, item, ()).folder_name.rpartition("-")[0]
        for folder in sorted(self._root.glob(f"{prefix}-*")):
            manifest = _read_manifest(folder)
            if manifest is None:
                continue
            unit = Unit(stage, item, manifest.key_parts)
            if folder.name == unit.folder_name and is_whole(folder, unit):
                yield unit, folder

    def _sweep(self, folder: Path) -> None:
        """Remove what a killed builder left, and a unit whose files were damaged since."""
        for leftover in [*self._root.glob(f".{folder.name}.*"), folder]:
            if os.path.lexists(leftover):
                delete_tree(leftover)

    def _report_cached(self, unit: Unit) -> None:
        self._report(
            PrepProgress(
                stage=unit.stage, item=unit.item, done=1, total=1, unit="files", cached=True
            )
        )

    def _report_waiting(self, unit: Unit, owner: str) -> None:
        self._report(PrepWaiting(stage=unit.stage, item=unit.item, owner=owner))


def is_whole(folder: Path, unit: Unit) -> bool:
    """Whether it is this unit as it was published; see above. `verify` reads every file."""
    manifest = _read_manifest(folder)
    if manifest is None or not _is_of(manifest, unit):
        return False
    if _changed(folder, manifest) is not None:
        return False
    left = _SAMPLE_BYTES
    for file in random.sample(manifest.files, len(manifest.files)):
        if file.bytes <= left:
            left -= file.bytes
            if not _has_digest(folder, file):
                return False
    return True


def verify(folder: Path) -> None:
    """Compare every file of a unit with its digest.

    Raises:
        DataError: a file is missing or differs.
    """
    manifest = _read_manifest(folder)
    if manifest is None:
        raise DataError(f"{folder} is not a finished unit; run prep again to make it")
    changed = _changed(folder, manifest)
    for file in () if changed else manifest.files:
        changed = changed or (None if _has_digest(folder, file) else file.path)
    if changed is not None:
        raise DataError(
            f"{folder / changed} was damaged after it was made; delete {folder} and run again"
        )


def _is_of(manifest: UnitManifest, unit: Unit) -> bool:
    made_for = (manifest.stage, manifest.item, manifest.key_parts)
    return made_for == (unit.stage, unit.item, unit.key_parts)


def _changed(folder: Path, manifest: UnitManifest) -> str | None:
    """A path in the unit that is not what the manifest says of it; None if there is none."""
    expected = {file.path: file.bytes for file in manifest.files}
    found = 0
    try:
        for path, status in _walk(folder):
            name = path.relative_to(folder).as_posix()
            if name == MANIFEST:
                continue
            is_plain = stat.S_ISREG(status.st_mode) and expected.get(name) == status.st_size
            if not is_plain or manifest.mtime_ns not in (None, status.st_mtime_ns):
                return name
            found += 1
    except (OSError, RecursionError):  # folders that nobody can follow to their end
        return "."
    return None if found == len(expected) == len(manifest.files) else "."


def _has_digest(folder: Path, file: _File) -> bool:
    try:
        return sha256_of(folder / file.path) == file.sha256
    except OSError:
        return False


def _build(unit: Unit, folder: Path, build: Callable[[Path], None], lease: Lease) -> None:
    """Build beside the final name and publish; on any way out nothing half made remains."""
    building = folder.with_name(f".{folder.name}.building")
    building.mkdir(parents=True)
    try:
        build(building)
        # The files themselves are not flushed one by one (there may be 100,000): if the machine
        # loses power their sizes will not match the manifest, and the unit is built again.
        manifest = _manifest_of(unit, building).model_dump_json()
        if len(manifest) > _MAX_MANIFEST_BYTES:
            raise DataError(
                f"{unit.item} has so many files, or such long names, that their list has "
                f"{len(manifest):,} characters, and at most {_MAX_MANIFEST_BYTES:,} are read of "
                "one; give an archive with fewer files"
            )
        write_durably(building / MANIFEST, manifest)
        lease.check()
        building.rename(folder)
        sync_path(folder.parent)
    finally:
        shutil.rmtree(building, ignore_errors=True)


def _manifest_of(unit: Unit, folder: Path) -> UnitManifest:
    paths = sorted(path for path, _ in _walk(folder))
    _set_modes(folder, paths)
    with ThreadPoolExecutor(_HASH_THREADS) as pool:  # hashing does not hold the interpreter's lock
        digests = list(pool.map(sha256_of, paths))
    files = tuple(
        _File(path=path.relative_to(folder).as_posix(), bytes=path.stat().st_size, sha256=digest)
        for path, digest in zip(paths, digests, strict=True)
    )
    return UnitManifest(
        stage=unit.stage,
        item=unit.item,
        key_parts=unit.key_parts,
        files=files,
        mtime_ns=_MTIME_NS if all(path.stat().st_mtime_ns == _MTIME_NS for path in paths) else None,
    )


def _set_modes(folder: Path, paths: Sequence[Path]) -> None:
    """Whatever the umask, only we write; a file system may know neither modes nor times."""
    with suppress(PermissionError):
        for path in (folder, *(path for path in folder.rglob("*") if path.is_dir())):
            path.chmod(0o755)
        for path in paths:
            path.chmod(0o644)
            os.utime(path, ns=(_MTIME_NS, _MTIME_NS))


def _walk(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """Everything below a folder that is no folder, links as what they are."""
    if folder.is_symlink():
        raise NotADirectoryError(str(folder))
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _walk(Path(entry.path))
            else:
                yield Path(entry.path), entry.stat(follow_symlinks=False)


def _read_manifest(folder: Path) -> UnitManifest | None:
    try:
        content = read_bounded(folder / MANIFEST, _MAX_MANIFEST_BYTES)
        return None if folder.is_symlink() else UnitManifest.model_validate_json(content)
    except (OSError, ValidationError):
        return None


def _storage_sentence(folder: str, failure: DiskFailure) -> str:
    place = failure.path or folder
    if failure.is_full:
        return (
            f"the disk is full at {place} ({failure.reason}); free space below "
            f"{Path(folder).parent.parent} and run again, finished work is kept"
        )
    out = way_out(Path(place), failure)
    return f"{place} cannot be read or written: {failure.reason}; {out}"
