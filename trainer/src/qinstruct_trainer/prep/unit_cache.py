"""The unit cache: content-addressed folders, each built once, published by one rename.

A unit is the result of one stage for one item, in `<cache>/units/<stage>-<item>-<key>/`. Its key
is a digest of everything that its content depends on, so that a unit never changes and every run
may use it. It is built in a hidden sibling and renamed when its `manifest.json` is on disk: a
unit that has a name is whole. Who builds it holds its lease; others wait and then find it.
"""

import hashlib
import json
import re
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from qinstruct_trainer.contract.errors import DataError
from qinstruct_trainer.contract.events import PrepProgress, PrepWaiting, Stage
from qinstruct_trainer.durable_files import sha256_of, sync_path, write_durably
from qinstruct_trainer.lease import Lease
from qinstruct_trainer.prep.progress import Report
from qinstruct_trainer.storage_errors import DiskFailure, storage_errors

MANIFEST = "manifest.json"

_KEY_CHARACTERS = 16  # 64 bits of the digest: enough to tell the units of one cache apart
_HASH_THREADS = 4


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


class UnitCache:
    """The units below `<root>/units`, and how to get one that is not there yet."""

    def __init__(self, root: Path, run: str, report: Report, *, stale_seconds: float = 60.0):
        self._root = root / "units"
        self._run = run
        self._report = report
        self._stale_seconds = stale_seconds
        self.downloads = root / "downloads"

    def get(self, unit: Unit, build: Callable[[Path], None]) -> Path:
        """The unit's folder; `build` fills an empty folder if no run has made it before.

        Raises:
            StorageError: the disk is full or cannot be written.
            RunError: whatever `build` raises; nothing of its work is kept.
        """
        folder = self._root / unit.folder_name
        if is_whole(folder):
            self._report_cached(unit)
            return folder
        with Lease.acquire(
            self._root / ".leases" / unit.folder_name,
            self._run,
            stale_seconds=self._stale_seconds,
            on_wait=lambda owner: self._report_waiting(unit, owner),
        ) as lease:
            if is_whole(folder):
                self._report_cached(unit)
                return folder
            with storage_errors(str(folder), _storage_sentence):
                self._sweep(folder)
                _build(unit, folder, build, lease)
        return folder

    def _sweep(self, folder: Path) -> None:
        """Remove what a killed builder left, and a unit whose files were damaged since."""
        for leftover in [*self._root.glob(f".{folder.name}.*"), folder]:
            if leftover.exists():
                shutil.rmtree(leftover)

    def _report_cached(self, unit: Unit) -> None:
        self._report(
            PrepProgress(
                stage=unit.stage, item=unit.item, done=1, total=1, unit="files", cached=True
            )
        )

    def _report_waiting(self, unit: Unit, owner: str) -> None:
        self._report(PrepWaiting(stage=unit.stage, item=unit.item, owner=owner))


def is_whole(folder: Path) -> bool:
    """Whether the unit is published and every file has its size; `verify` reads them too."""
    manifest = _read_manifest(folder)
    return manifest is not None and all(
        _size(folder / file.path) == file.bytes for file in manifest.files
    )


def verify(folder: Path) -> None:
    """Compare every file of a unit with its digest.

    Raises:
        DataError: a file is missing or differs.
    """
    manifest = _read_manifest(folder)
    if manifest is None:
        raise DataError(f"{folder} is not a finished unit; run prep again to make it")
    for file in manifest.files:
        path = folder / file.path
        if _size(path) != file.bytes or sha256_of(path) != file.sha256:
            raise DataError(f"{path} was damaged after it was made; delete {folder} and run again")


def _build(unit: Unit, folder: Path, build: Callable[[Path], None], lease: Lease) -> None:
    """Build beside the final name and publish; on any way out nothing half made remains."""
    building = folder.with_name(f".{folder.name}.building")
    building.mkdir(parents=True)
    try:
        build(building)
        # The files themselves are not flushed one by one (there may be 100,000): if the machine
        # loses power their sizes will not match the manifest, and the unit is built again.
        manifest = _manifest_of(unit, building)
        write_durably(building / MANIFEST, manifest.model_dump_json())
        lease.check()
        building.rename(folder)
        sync_path(folder.parent)
    finally:
        shutil.rmtree(building, ignore_errors=True)


def _manifest_of(unit: Unit, folder: Path) -> UnitManifest:
    paths = sorted(_walk(folder))
    with ThreadPoolExecutor(_HASH_THREADS) as pool:  # hashing does not hold the interpreter's lock
        digests = list(pool.map(sha256_of, paths))
    files = tuple(
        _File(path=path.relative_to(folder).as_posix(), bytes=path.stat().st_size, sha256=digest)
        for path, digest in zip(paths, digests, strict=True)
    )
    return UnitManifest(stage=unit.stage, item=unit.item, key_parts=unit.key_parts, files=files)


def _walk(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file())


def _read_manifest(folder: Path) -> UnitManifest | None:
    try:
        return UnitManifest.model_validate_json((folder / MANIFEST).read_bytes())
    except (OSError, ValidationError):
        return None


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1


def _storage_sentence(folder: str, failure: DiskFailure) -> str:
    place = failure.path or folder
    if failure.is_full:
        return (
            f"the disk is full at {place} ({failure.reason}); free space below "
            f"{Path(folder).parent.parent} and run again, finished work is kept"
        )
    return f"{place} cannot be read or written: {failure.reason}"
