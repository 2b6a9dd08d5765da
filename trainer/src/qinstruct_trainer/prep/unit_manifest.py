"""A unit's name, and what it holds: its manifest, made of its files, read, compared with them."""

import hashlib
import json
import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from qinstruct_trainer.contract.errors import DataError, StorageError
from qinstruct_trainer.contract.events import Stage
from qinstruct_trainer.durable_files import delete_tree, is_ours_alone, read_bounded, sha256_of

MANIFEST = "manifest.json"
# Of every file of a unit, so that one that was written to later differs, whatever its size, and
# that two units may share the bytes of a file. What has this time need not be read to be believed;
# what has another is. 2000-01-01: no file system rounds it.
MTIME_NS = 946_684_800 * 10**9

Walked = tuple[str, Path, os.stat_result]
"""Something below a folder: its name from there, its path, and what it is (links not followed)."""

_KEY_CHARACTERS = 16  # 64 bits of the digest: enough to tell the units of one cache apart
_MODE = 0o644
_HASH_THREADS = 4
_MAX_MANIFEST_BYTES = 128 << 20  # of 200,000 files, the most of a published source, 40 MB


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


@dataclass(frozen=True)
class WrittenFile:
    """What a build knows of a file that it has written, which need not be read again.

    Attributes:
        num_bytes: Its size.
        sha256: Hexadecimal digest of the content.
    """

    num_bytes: int
    sha256: str


class UnitFile(BaseModel):
    """One file of a unit: its path in there, its size and its hexadecimal digest."""

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
    files: tuple[UnitFile, ...]
    mtime_ns: int | None = None  # of each file; None in units of earlier versions


def read_manifest(folder: Path) -> UnitManifest | None:
    """What a unit says of itself; None where there is no finished unit, or a link to one."""
    try:
        content = read_bounded(folder / MANIFEST, _MAX_MANIFEST_BYTES)
        return None if folder.is_symlink() else UnitManifest.model_validate_json(content)
    except (OSError, ValidationError):
        return None


@dataclass(frozen=True)
class Comparison:
    """A unit's files beside its manifest, unread.

    Attributes:
        changed: A path that is missing, too many, no plain file or of another size; None: no such.
        retimed: Files of their size with another time than they were given: somebody has copied
            the unit without its times, or has written into it. Their digests tell which.
    """

    changed: str | None = None
    retimed: tuple[UnitFile, ...] = ()


def compare(entries: Iterable[Walked], manifest: UnitManifest) -> Comparison:
    """Everything in a unit's folder, as `walk` has it, and what the manifest says. Takes all."""
    expected = {file.path: file for file in manifest.files}
    changed = None if len(expected) == len(manifest.files) else "."
    retimed = []
    for name, _, status in entries:
        if name == MANIFEST:
            continue
        file = expected.pop(name, None)
        if file is None or not stat.S_ISREG(status.st_mode) or status.st_size != file.bytes:
            changed = changed or name
        elif manifest.mtime_ns not in (None, status.st_mtime_ns):
            retimed.append(file)
    return Comparison(changed or next(iter(expected), None), tuple(retimed))


def compare_folder(folder: Path, manifest: UnitManifest) -> Comparison:
    """The same of all that is in the folder now."""
    try:
        return compare(walk(folder), manifest)
    except (OSError, RecursionError):  # folders that nobody can follow to their end
        return Comparison(".")


def has_digest(folder: Path, file: UnitFile) -> bool:
    """Whether a file can be read, and has its digest."""
    try:
        return sha256_of(folder / file.path) == file.sha256
    except OSError:
        return False


def are_copies(folder: Path, manifest: UnitManifest, files: Sequence[UnitFile]) -> bool:
    """Whether files of other times all have their digests.

    Each that has gets its time, where that is allowed, so that it is read this once.
    """

    def is_copy(file: UnitFile) -> bool:
        if not has_digest(folder, file):
            return False
        if manifest.mtime_ns is not None:
            with suppress(OSError):  # somebody else's file, or a volume that may only be read
                os.utime(folder / file.path, ns=(manifest.mtime_ns, manifest.mtime_ns))
        return True

    with ThreadPoolExecutor(_HASH_THREADS) as pool:  # hashing does not hold the interpreter's lock
        return all(pool.map(is_copy, files))


def walk(folder: Path, inside: str = "") -> Iterator[Walked]:
    """Everything below a folder that is no folder, links as what they are; names from there.

    Raises:
        OSError: it is a link, or cannot be read to its end.
        RecursionError: its folders are nested too deeply.
    """
    if folder.is_symlink():
        raise NotADirectoryError(str(folder))
    with os.scandir(folder) as entries:
        for entry in entries:
            name, path = inside + entry.name, Path(entry.path)
            if entry.is_dir(follow_symlinks=False):
                yield from walk(path, f"{name}/")
            else:
                yield name, path, entry.stat(follow_symlinks=False)


def keep_plain_files(folder: Path) -> None:
    """Remove links and whatever else others may have planted, so that nothing leads out of it."""
    if folder.is_symlink() or not folder.is_dir():
        delete_tree(folder)
        return
    try:
        there = [path for _, path, _ in walk(folder)]
    except RecursionError:
        delete_tree(folder)
        return
    for path in there:
        if not is_ours_alone(path):
            path.unlink()


def remove_others(folder: Path, written: Mapping[str, WrittenFile]) -> None:
    """Remove files that a build has not written."""
    for name, path, _ in [*walk(folder)]:
        if name not in written:
            path.unlink()


def manifest_of(unit: Unit, folder: Path, written: Mapping[str, WrittenFile]) -> str:
    """The manifest of a folder's files, as JSON; they get their times and modes.

    Raises:
        StorageError: a written file is not as it was written.
        DataError: there are too many.
    """
    there = sorted(walk(folder), key=lambda entry: entry[0].split("/"))
    there = [(name, path, _settled(path, status)) for name, path, status in there]
    _check_written(folder, {name: status.st_size for name, _, status in there}, written)
    unread = [path for name, path, _ in there if name not in written]
    with ThreadPoolExecutor(_HASH_THREADS) as pool:  # hashing does not hold the interpreter's lock
        read = dict(zip(unread, pool.map(sha256_of, unread), strict=True))
    files = tuple(
        UnitFile(path=name, bytes=status.st_size, sha256=read.get(path) or written[name].sha256)
        for name, path, status in there
    )
    keeps_times = all(status.st_mtime_ns == MTIME_NS for _, _, status in there)
    made = UnitManifest(
        stage=unit.stage,
        item=unit.item,
        key_parts=unit.key_parts,
        files=files,
        mtime_ns=MTIME_NS if keeps_times else None,
    )
    for path, _, _ in os.walk(folder):
        with suppress(PermissionError):
            Path(path).chmod(0o755)
    manifest = made.model_dump_json()
    if len(manifest) > _MAX_MANIFEST_BYTES:
        raise DataError(
            f"{unit.item} has so many files, or such long names, that their list has "
            f"{len(manifest):,} characters, and at most {_MAX_MANIFEST_BYTES:,} are read of "
            "one; give an archive with fewer files"
        )
    return manifest


def _check_written(
    folder: Path, there: Mapping[str, int], written: Mapping[str, WrittenFile]
) -> None:
    for name, file in written.items():
        if there.get(name) != file.num_bytes:
            raise StorageError(
                f"{folder / name} was written with {file.num_bytes:,} bytes and is not there so; "
                "see that nothing else writes into the cache, then run again"
            )


def _settled(path: Path, status: os.stat_result) -> os.stat_result:
    """Whatever the umask, only we write; a file system may know neither modes nor times."""
    with suppress(PermissionError):
        if stat.S_IMODE(status.st_mode) != _MODE:
            path.chmod(_MODE)
        if status.st_mtime_ns != MTIME_NS:
            os.utime(path, ns=(MTIME_NS, MTIME_NS))
            return path.stat()
    return status
