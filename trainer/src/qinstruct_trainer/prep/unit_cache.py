"""The unit cache: content-addressed folders, each built once, published by one rename.

A unit is the result of one stage for one item, in `<cache>/units/<stage>-<item>-<key>/`. Its key
is a digest of everything that its content depends on, so that a unit never changes and every run
may use it. It is built in a hidden sibling and renamed when its `manifest.json` is on disk: a
unit that has a name is whole. Who builds it holds its lease; others wait and then find it.

Others write into the cache too, so a unit is checked each time before it is used: that it is made
for this key, holds its files and nothing else, no link among them, each of its size, and some of
them of their digest: all those that have another time than it gave them, as the files of a copied
cache have, until they have been read once. Otherwise it is built again.
"""

import logging
import os
import random
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TypeVar

from qinstruct_trainer.contract.errors import DataError
from qinstruct_trainer.contract.events import PrepProgress, PrepWaiting, Stage
from qinstruct_trainer.durable_files import (
    delete_tree,
    sync_file_system,
    sync_path,
    write_durably,
)
from qinstruct_trainer.lease import Lease, is_free
from qinstruct_trainer.prep.progress import Report
from qinstruct_trainer.prep.unit_manifest import (
    MANIFEST,
    Unit,
    UnitManifest,
    WrittenFile,
    are_copies,
    compare_folder,
    has_digest,
    keep_plain_files,
    manifest_of,
    read_manifest,
    remove_others,
)
from qinstruct_trainer.prep.uses import Uses, remove_uses, state_of, uses_of
from qinstruct_trainer.storage_errors import DiskFailure, storage_errors, way_out

UNITS = "units"
DOWNLOADS = "downloads"
HUB = "hub"  # below downloads: those of huggingface_hub, which models of several runs share
LEASES = ".leases"
BUILDING = ".building"
PRUNED = ".pruned"  # ends the name of what is being deleted
T = TypeVar("T")

_log = logging.getLogger(__name__)
_SAMPLE_BYTES = 256 << 20  # of files whose digests are compared before a unit is used


Build = Callable[[Path], Mapping[str, WrittenFile] | None]
"""Fills a folder. It may return what it knows of files, by their paths in the folder."""


class UnitCache:
    """The units below `<root>/units`, and how to get one that is not there yet."""

    def __init__(
        self,
        root: Path,
        run: str,
        report: Report,
        *,
        output: Path | None = None,
        stale_seconds: float = 60.0,
    ):
        self._root = root / UNITS
        self._run = run
        self._report = report
        self._stale_seconds = stale_seconds
        self._uses = Uses(root, run, output)
        self.downloads = root / DOWNLOADS
        self.root = root

    def get(self, unit: Unit, build: Build, *, resumes: bool = False) -> Path:
        """The unit's folder; `build` fills an empty folder if no run has made it before.

        With `resumes` the folder may hold plain files of an attempt that was killed, stopped or
        had no room: of whatever content, so that `build` compares it. What it does not return
        is not of the unit.

        Raises:
            StorageError: the disk is full or cannot be written.
            RunError: whatever `build` raises. Nothing of its work is kept, but of one that
                `resumes` and has found its input good.
        """
        folder = self._root / unit.folder_name
        # From here on nobody deletes it. The order matters: see `uses`.
        if self.find(unit) is not None:
            return folder
        with Lease.acquire(
            lease_of(folder),
            self._run,
            stale_seconds=self._stale_seconds,
            on_wait=lambda owner: self._report_waiting(unit, owner),
        ) as lease:
            self._noted(folder, self._uses.begin)
            if is_whole(folder, unit):
                self._report_cached(unit)
                return folder
            with storage_errors(str(folder), _storage_sentence):
                self._sweep(folder, but=_building(folder) if resumes else None)
                _build(unit, folder, build, lease, resumes=resumes)
        return folder

    def find(self, unit: Unit) -> Path | None:
        """The unit's folder if some run has made it: from here on it is used.

        Raises:
            StorageError: the cache cannot be written.
        """
        folder = self._root / unit.folder_name
        if self._noted(folder, self._uses.join) and is_whole(folder, unit):
            self._report_cached(unit)
            return folder
        return None

    def published(self, unit: Unit) -> Path | None:
        """The unit's folder if it is there, perhaps damaged; this is no use of it."""
        folder = self._root / unit.folder_name
        return folder if folder.is_dir() else None

    def is_being_made(self, unit: Unit) -> bool:
        """Whether somebody holds its lease; on another machine perhaps a dead one."""
        return not is_free(lease_of(self._root / unit.folder_name))

    def discard(self, unit: Unit, made: Path) -> None:
        """Use a unit no longer, and delete it if no other run does.

        Each looks for others when it does not use it itself any more: so the last one finds none.
        What one leaves that is killed here goes when the unit is discarded again.

        Args:
            unit: What goes.
            made: The finished unit that was made from it. It is brought to the disk before.

        Raises:
            StorageError: the cache cannot be written.
        """
        folder = self._root / unit.folder_name
        with storage_errors(str(folder), _storage_sentence):
            is_there = self._uses.join(folder.name)  # in the place of this run's earlier attempts
            self._uses.leave(folder.name)
            is_there = is_there or any(self._leftovers(folder))
            if not is_there or self._is_used(folder):  # perhaps by one that makes it anew
                return
            sync_file_system(made)
            with Lease.acquire(
                lease_of(folder), self._run, stale_seconds=self._stale_seconds
            ) as lease:
                uses = uses_of(self.root, folder.name)
                if not self._is_used(folder) and remove_uses(self.root, folder.name, uses):
                    for path in self._leftovers(folder):
                        take_away(path, lease)

    def _is_used(self, folder: Path) -> bool:
        uses = uses_of(self.root, folder.name)
        return any(state_of(found.use) == "unfinished" for found in uses)

    def _leftovers(self, folder: Path) -> list[Path]:
        """A unit, and what was killed while it made or deleted it."""
        there = [*self._root.glob(f".{folder.name}.*"), folder]
        return [path for path in there if os.path.lexists(path)]

    def shared_downloads(self, name: str) -> Path:
        """A folder below `downloads` that no unit's lease guards: others may be in it, too.

        Raises:
            StorageError: the cache cannot be written.
        """
        folder = self._root / name
        if not self._noted(folder, self._uses.join):
            with Lease.acquire(lease_of(folder), self._run, stale_seconds=self._stale_seconds):
                self._noted(folder, self._uses.begin)
        return self.downloads / name

    def _noted(self, folder: Path, note: Callable[[str], T]) -> T:
        with storage_errors(str(folder), _storage_sentence):
            return note(folder.name)

    def finished(self, stage: Stage, item: str) -> Iterator[tuple[Unit, Path]]:
        """Every whole unit of a stage and an item, whatever else its content depends on.

        Raises:
            StorageError: the cache cannot be written.
        """
        prefix = Unit(stage, item, ()).folder_name.rpartition("-")[0]
        for folder in sorted(self._root.glob(f"{prefix}-*")):
            manifest = read_manifest(folder)
            if manifest is None:
                continue
            unit = Unit(stage, item, manifest.key_parts)
            if folder.name != unit.folder_name or not self._noted(folder, self._uses.join):
                continue  # renamed, or about to be deleted
            if is_whole(folder, unit):
                yield unit, folder

    def _sweep(self, folder: Path, but: Path | None) -> None:
        """Remove what a killed builder left, and a unit whose files were damaged since."""
        for leftover in self._leftovers(folder):
            if leftover != but:
                delete_tree(leftover)

    def _report_cached(self, unit: Unit) -> None:
        self._report(
            PrepProgress(
                stage=unit.stage, item=unit.item, done=1, total=1, unit="files", cached=True
            )
        )

    def _report_waiting(self, unit: Unit, owner: str) -> None:
        self._report(PrepWaiting(stage=unit.stage, item=unit.item, owner=owner))


def lease_of(folder: Path) -> Path:
    """The lease of the unit in a folder, whether it is there or not."""
    return folder.parent / LEASES / folder.name


def take_away(path: Path, lease: Lease) -> None:
    """Delete a unit or a leftover: first its name, by one rename, so that no reader sees a part.

    Raises:
        OSError: the cache cannot be written.
        OutputBusyError: the lease was lost.
    """
    aside = path.with_name(f".{path.name}{PRUNED}")
    if path.name.startswith("."):
        aside = path
    elif os.path.lexists(aside):
        delete_tree(aside)
    lease.check()
    if aside != path:
        path.rename(aside)
        sync_path(path.parent)
    delete_tree(aside)


def is_whole(folder: Path, unit: Unit) -> bool:
    """Whether it is this unit as it was published; see above. `verify` reads every file."""
    manifest = read_manifest(folder)
    if manifest is None or not _is_of(manifest, unit):
        return False
    found = compare_folder(folder, manifest)
    if found.changed is not None:
        return False
    if found.retimed:
        _log.warning(
            "%s: %s files have other times than they were given, as copies have; their %s bytes "
            "are read once, and compared with their digests",
            *(folder.name, f"{len(found.retimed):,}"),
            f"{sum(file.bytes for file in found.retimed):,}",
        )
        if not are_copies(folder, manifest, found.retimed):
            return False
    left = _SAMPLE_BYTES
    for file in random.sample(manifest.files, len(manifest.files)):
        if file.bytes <= left:
            left -= file.bytes
            if not has_digest(folder, file):
                return False
    return True


def verify(folder: Path, on_bytes: Callable[[int], None] = lambda _: None) -> None:
    """Compare every file of a unit with its digest.

    Args:
        folder: The unit.
        on_bytes: Called with the size of each file that was read.

    Raises:
        DataError: a file is missing or differs.
    """
    manifest = read_manifest(folder)
    if manifest is None:
        raise DataError(f"{folder} is not a finished unit; run prep again to make it")
    changed = compare_folder(folder, manifest).changed
    for file in () if changed else manifest.files:
        if not has_digest(folder, file):
            changed = file.path
            break
        on_bytes(file.bytes)
    if changed is not None:
        raise DataError(
            f"{folder / changed} was damaged after it was made; delete {folder} and run again"
        )


def _is_of(manifest: UnitManifest, unit: Unit) -> bool:
    made_for = (manifest.stage, manifest.item, manifest.key_parts)
    return made_for == (unit.stage, unit.item, unit.key_parts)


def _building(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}{BUILDING}")


def _build(unit: Unit, folder: Path, build: Build, lease: Lease, *, resumes: bool) -> None:
    """Build beside the final name and publish; on any way out nothing half made remains there."""
    building = _building(folder)
    if resumes and os.path.lexists(building):
        keep_plain_files(building)
    building.mkdir(parents=True, exist_ok=resumes)
    is_kept = False
    try:
        written = build(building) or {}
        if resumes:
            remove_others(building, written)
        # The files themselves are not flushed one by one (there may be 100,000): if the machine
        # loses power their sizes will not match the manifest, and the unit is built again.
        write_durably(
            building / MANIFEST,
            manifest_of(unit, building, written),
        )
        lease.check()
        building.rename(folder)
        sync_path(folder.parent)
    except DataError:  # the same input gives the same again
        raise
    except BaseException:
        is_kept = resumes
        raise
    finally:
        if not is_kept:
            shutil.rmtree(building, ignore_errors=True)


def _storage_sentence(folder: str, failure: DiskFailure) -> str:
    place = failure.path or folder
    if failure.is_full:
        return (
            f"the disk is full at {place} ({failure.reason}); free space below "
            f"{Path(folder).parent.parent} and run again, finished work is kept"
        )
    out = way_out(Path(place), failure)
    return f"{place} cannot be read or written: {failure.reason}; {out}"
