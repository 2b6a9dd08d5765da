"""Unpack an image archive that is not trusted: tar in any compression, or zip.

Nothing is written outside the folder, no link or device is made, a truncated archive is an
error and not a short data set, and a decompression bomb is stopped while it is unpacked.
"""

import errno
import lzma
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Self

from qinstruct_trainer.contract.errors import DataError, StorageError
from qinstruct_trainer.data.records import is_utf8
from qinstruct_trainer.prep.progress import Progress

_CHUNK = 1 << 20
# Photographs are compressed already: an archive of them grows by a few percent. What grows more
# than this (above a floor, for archives of drawings) is a bomb.
_MAX_GROWTH = 100
_FREE_GROWTH_BYTES = 64 << 20
_BROKEN = (tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError)
_BAD_NAME = frozenset({errno.EEXIST, errno.EISDIR, errno.ENOTDIR, errno.ENAMETOOLONG})
_UNREADABLE = (NotImplementedError, RuntimeError)  # zipfile: unknown compression, encrypted


def extract(archive: Path, name: str, target: Path, progress: Progress) -> None:
    """Unpack every file of an archive below `target`.

    A single top-level folder called like the source is left out: some copies of
    `q-instruct-images.tar` have it, as the paths in users' reports show.

    Args:
        archive: The file; its content decides what it is, not its name.
        name: Of the source, for messages and the top-level folder.
        target: Where the files go; must not exist.
        progress: Counts the files done.

    Raises:
        DataError: not an archive, truncated, or a member is unsafe; names it.
        StorageError: the files do not fit on the disk.
    """
    raw = target.with_name(f"{target.name}.raw")
    raw.mkdir(parents=True)
    writer = _Writer(archive, name, raw, progress)
    with _as_data_error(name):
        if zipfile.is_zipfile(archive):
            _extract_zip(archive, writer)
        else:
            _extract_tar(archive, writer)
    if progress.done == 0:
        raise DataError(f"{name}: the archive holds no file; correct data.sources.{name}.url")
    inner = raw / name
    if inner.is_dir() and len(list(raw.iterdir())) == 1:
        inner.rename(target)
        raw.rmdir()
    else:
        raw.rename(target)
    progress.finish()


class _Writer:
    """Writes members below a folder, within the free space and a plausible growth."""

    def __init__(self, archive: Path, name: str, folder: Path, progress: Progress):
        self._name = name
        self._folder = folder
        self._progress = progress
        self._num_bytes = 0
        self._free = shutil.disk_usage(folder).free
        self._bound = _FREE_GROWTH_BYTES + _MAX_GROWTH * archive.stat().st_size

    def write(self, member: str, file: IO[bytes], size: int) -> None:
        """Copy one member. `size` is what the archive claims; the bytes are counted too."""
        path = self._folder / self._safe(member)
        self._check_bounds(member, size)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as out:
            while chunk := file.read(_CHUNK):
                self._num_bytes += len(chunk)
                self._check_bounds(member, 0)
                out.write(chunk)
        self._progress.add()

    def refuse(self, member: str, reason: str) -> DataError:
        """The error for a member that must not be unpacked."""
        return DataError(
            f"{self._name}: member {member!r:.200} {reason}; the archive is not safe to unpack, "
            f"set data.sources.{self._name}.url to a good one"
        )

    def _safe(self, member: str) -> PurePosixPath:
        path = PurePosixPath(member)
        if path.is_absolute() or ".." in path.parts or not path.parts:
            raise self.refuse(member, "leads out of the folder")
        if "\\" in member or "\0" in member or not is_utf8(member):
            raise self.refuse(member, "has a character no path may have")
        return path

    def _check_bounds(self, member: str, coming: int) -> None:
        total = self._num_bytes + coming
        if total > self._bound:
            raise self.refuse(member, f"makes the content {total:,} bytes, as only a bomb has")
        if total > self._free:
            raise StorageError(
                f"{self._name} needs more than {total:,} bytes unpacked and {self._folder.parent} "
                f"has {self._free:,} free; free space there and run again"
            )


class _StrictTarInfo(tarfile.TarInfo):
    """A header that is missing or damaged is an error; tarfile takes it for the end."""

    @classmethod
    def fromtarfile(cls, tarfile_: tarfile.TarFile) -> Self:
        try:
            return super().fromtarfile(tarfile_)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]  # typeshed lacks it
            raise  # the zero block that ends every tar
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(f"no member header at byte {tarfile_.offset}") from error


def _extract_tar(archive: Path, writer: _Writer) -> None:
    with tarfile.open(archive, "r:*", tarinfo=_StrictTarInfo) as tar:
        for member in tar:
            if member.isdir():
                continue
            if not member.isreg():
                kind = "is a link" if member.issym() or member.islnk() else "is a device"
                raise writer.refuse(member.name, kind)
            file = tar.extractfile(member)
            if file is not None:
                writer.write(member.name, file, member.size)


def _extract_zip(archive: Path, writer: _Writer) -> None:
    with zipfile.ZipFile(archive) as package:
        for member in package.infolist():
            mode = member.external_attr >> 16
            if stat.S_ISLNK(mode):
                raise writer.refuse(member.filename, "is a link")
            if member.is_dir():
                continue
            with package.open(member) as file:
                writer.write(member.filename, file, member.file_size)


@contextmanager
def _as_data_error(name: str) -> Iterator[None]:
    try:
        yield
    except (*_BROKEN, *_UNREADABLE) as error:
        raise _damaged(name, error) from error
    except OSError as error:
        if error.errno is None:  # gzip and bz2 say so that the stream is damaged
            raise _damaged(name, error) from error
        if error.errno not in _BAD_NAME:
            raise
        raise DataError(
            f"{name}: {error.filename!s:.300} cannot be made ({error.strerror}): two members "
            f"claim it or its name is too long; set data.sources.{name}.url to a good copy"
        ) from error


def _damaged(name: str, error: Exception) -> DataError:
    return DataError(
        f"{name}: the archive is truncated or damaged ({str(error) or type(error).__name__}); "
        f"set data.sources.{name}.url to a good copy"
    )
