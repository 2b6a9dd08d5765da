"""Unpack an image archive that is not trusted: tar in any compression, or zip.

Nothing is written outside the folder, no link or device is made, a truncated archive is an
error and not a short data set, and a decompression bomb is stopped while it is unpacked. Headers,
names, members and folders are bounded while they are read, in proportion to the archive's size.
What an attempt that was killed has unpacked is not unpacked again.
"""

import errno
import io
import lzma
import shutil
import stat
import struct
import tarfile
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, Any, Self

from qinstruct_trainer.contract.errors import DataError, StorageError
from qinstruct_trainer.contract.field_paths import source_field
from qinstruct_trainer.data.records import is_utf8
from qinstruct_trainer.durable_files import allocated_bytes, delete_tree
from qinstruct_trainer.file_kinds import file_kind
from qinstruct_trainer.prep.member_files import Member, MemberFiles
from qinstruct_trainer.prep.progress import Progress
from qinstruct_trainer.prep.unit_manifest import WrittenFile
from qinstruct_trainer.prep.unpacked_stream import UnpackedStream

_TAR_READ = 1 << 16  # at once; with 10 KiB, as it is by itself, a twelfth more time is taken
_MAX_IN_MEMORY = 16 << 20  # of a tar's member; what is larger is no image
# Photographs are compressed already: an archive of them grows by a few percent. What grows more
# than this (above a floor, for archives of drawings) is a bomb.
_MAX_GROWTH = 100
_FREE_GROWTH_BYTES = 64 << 20
# An image has some hundred bytes: files and folders beyond this number are of nothing.
_BYTES_PER_ENTRY = 256
_FREE_ENTRIES = 10_000
_MAX_ENTRIES = 1_000_000
_MAX_PATH_BYTES = 1024
_MAX_DEPTH = 32
_MAX_HEADER_BYTES = 64 << 10  # of a name, a link's target or a record before a member
_MAX_GLOBAL_RECORDS = 64
_MAX_DIRECTORY_BYTES = 256 << 20  # of a zip; 1,000,000 entries with long names
_OF_PACKING = frozenset(  # of macOS, Windows, Synology's systems, and of tar where it was unpacked
    {
        *("__MACOSX", ".DS_Store", ".Spotlight-V100", ".Trashes", ".fseventsd", "@eaDir"),
        *("Thumbs.db", "desktop.ini", "$RECYCLE.BIN", "System Volume Information", "PaxHeaders"),
    }
)
_EXTENDED = frozenset(
    {
        tarfile.GNUTYPE_LONGNAME,
        tarfile.GNUTYPE_LONGLINK,
        tarfile.XHDTYPE,
        tarfile.XGLTYPE,
        tarfile.SOLARIS_XHDTYPE,
    }
)
# The others unpack a whole chunk at once, into a thousand times the memory.
_ZIP_COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ZIP_ENTRY = b"PK\1\2"
_ZIP_MEMBER = b"PK\3\4"
_ARCHIVES = ("a tar archive", "a zip archive", "a gzip file", "a bzip2 file", "an xz file")
_BROKEN = (
    *(tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError),
    *(ValueError, OverflowError, struct.error),  # numbers and names in a zip that cannot be
)
_BAD_NAME = frozenset({errno.EEXIST, errno.EISDIR, errno.ENOTDIR, errno.ENAMETOOLONG})
# typeshed lacks these
_END: type[Exception] = tarfile.EOFHeaderError  # type: ignore[attr-defined]
_REST_OF_A_BLOCK: tuple[type[Exception], ...] = (
    tarfile.EmptyHeaderError,  # type: ignore[attr-defined]
    tarfile.TruncatedHeaderError,  # type: ignore[attr-defined]
)
_UNREADABLE = (NotImplementedError, RuntimeError)  # zipfile: unknown compression, encrypted


def extract(archive: Path, name: str, target: Path, progress: Progress) -> dict[str, WrittenFile]:
    """Unpack every file of an archive below `target`.

    A single top-level folder called like the source is left out: some copies of
    `q-instruct-images.tar` have it, as the paths in users' reports show.

    Args:
        archive: The file; its content decides what it is, not its name.
        name: Of the source, for messages and the top-level folder.
        target: Where the files go. It and `<target>.raw` may be from an attempt that was killed:
            files with the right content stay, all else goes.
        progress: Counts the files done.

    Returns:
        What the files are, by their paths below `target`.

    Raises:
        DataError: not an archive, truncated, or a member is unsafe; names it.
        StorageError: the files do not fit on the disk.
    """
    raw = target.with_name(f"{target.name}.raw")
    is_new = not raw.exists() and not target.exists()
    raw.mkdir(parents=True, exist_ok=True)
    guard = _Guard(archive, name, raw, allocated_bytes(raw) + allocated_bytes(target))
    earlier = None if is_new else partial(_places, name, raw, target)
    with _as_data_error(name, archive), MemberFiles(raw, earlier, progress) as files:
        unpack = _extract_zip if zipfile.is_zipfile(archive) else _extract_tar
        written = unpack(archive, guard, files)
    if not written:
        raise DataError(f"{name}: the archive holds no file; correct {source_field(name)}.url")
    delete_tree(target)  # what is wanted of it was moved
    if all(path.startswith(f"{name}/") for path in written):
        (raw / name).rename(target)
        delete_tree(raw)
        written = {path.removeprefix(f"{name}/"): file for path, file in written.items()}
    else:
        raw.rename(target)
    progress.finish()
    return written


def _places(name: str, raw: Path, target: Path, path: PurePosixPath) -> tuple[Path, ...]:
    """Where a member's file is after an attempt that was killed early, or when all was there."""
    stripped = (target / path.relative_to(name),) if path.parts[0] == name else ()
    return (raw / path, target / path, *stripped)


def _is_of_packing(path: PurePosixPath) -> bool:
    """Whether a system that packed it left this for itself: no image, and in nobody's folder."""
    return path.name.startswith("._") or not _OF_PACKING.isdisjoint(path.parts)


class _Guard:
    """Refuses what must not be unpacked, and what exceeds the free space or a plausible growth."""

    def __init__(self, archive: Path, name: str, folder: Path, there: int):
        """`there` are the bytes of an earlier attempt, which become part of this one."""
        self._name = name
        self._folder = folder
        self._num_bytes = 0
        self._num_entries = 0
        self._folders: set[PurePosixPath] = set()
        size = archive.stat().st_size
        self.max_entries = min(_FREE_ENTRIES + size // _BYTES_PER_ENTRY, _MAX_ENTRIES)
        self._free = shutil.disk_usage(folder).free + there
        self.max_bytes = _FREE_GROWTH_BYTES + _MAX_GROWTH * size

    def path_of(self, member: str, size: int) -> PurePosixPath | None:
        """Where a file of this size may go; None: nowhere, it is no content.

        The size is what the archive claims. No more is read, and less is an error.
        """
        inside = self._safe(member)
        self._check_bounds(member, size)
        self.count(member)
        if _is_of_packing(inside):
            return None
        self._num_bytes += size
        self._count_folders(inside.parent, member)
        return inside

    def count(self, member: str) -> None:
        """Note a file or a folder; also one of which nothing is written."""
        self._num_entries += 1
        if self._num_entries > self.max_entries:
            raise self.refuse_archive(
                f"has more than {self.max_entries:,} files and folders at member {member!r:.200}, "
                "too many for its size"
            )

    def refuse(self, member: str, reason: str) -> DataError:
        """The error for a member that must not be unpacked."""
        return self.refuse_archive(f"has the member {member[:200]!r}, which {reason}")

    def refuse_archive(self, reason: str) -> DataError:
        """The error for an archive that must not be unpacked."""
        return DataError(
            f"{self._name}: the archive {reason}; it is not safe to unpack, "
            f"set {source_field(self._name)}.url to a good one"
        )

    def _count_folders(self, folder: PurePosixPath, member: str) -> None:
        if folder.parts and folder not in self._folders:
            self._count_folders(folder.parent, member)
            self.count(member)
            self._folders.add(folder)

    def _safe(self, member: str) -> PurePosixPath:
        path = PurePosixPath(unicodedata.normalize("NFC", member))  # as records' are
        if path.is_absolute() or ".." in path.parts or not path.parts:
            raise self.refuse(member, "leads out of the folder")
        if "\\" in member or "\0" in member or not is_utf8(member):
            raise self.refuse(member, "has a character no path may have")
        if len(member.encode()) > _MAX_PATH_BYTES or len(path.parts) > _MAX_DEPTH:
            raise self.refuse(
                member, f"has a path of over {_MAX_PATH_BYTES} bytes or {_MAX_DEPTH} folders"
            )
        return path

    def _check_bounds(self, member: str, coming: int) -> None:
        total = self._num_bytes + coming
        if total > self.max_bytes:
            raise self.refuse(member, f"makes the content {total:,} bytes, as only a bomb has")
        if total > self._free:
            raise StorageError(
                f"{self._name} needs more than {total:,} bytes unpacked and {self._folder.parent} "
                f"has {self._free:,} free; free space there and run again"
            )


class _Tar(tarfile.TarFile):
    """One or more archives in one file, as `cat a.tar b.tar` makes it."""

    has_ended = False  # the zero block that ends every tar was the last that was read


class _StrictTarInfo(tarfile.TarInfo):
    """A header that is missing or damaged is an error; tarfile takes it for the end.

    What tarfile reads to understand a header is bounded: names, records, lists of holes.
    """

    @classmethod
    def fromtarfile(cls, tarfile_: tarfile.TarFile) -> Self:
        assert isinstance(tarfile_, _Tar)
        try:
            member = super().fromtarfile(tarfile_)
        except _END:
            tarfile_.has_ended = True
            raise
        except tarfile.HeaderError as error:
            if tarfile_.has_ended and isinstance(error, _REST_OF_A_BLOCK):
                raise
            after = " after the archive's end" if tarfile_.has_ended else ""
            raise tarfile.ReadError(f"no member header at byte {tarfile_.offset}{after}") from error
        tarfile_.has_ended = False
        return member

    def _proc_member(self, tarfile_: tarfile.TarFile) -> Self:
        if self.type in _EXTENDED and self.size > _MAX_HEADER_BYTES:
            raise tarfile.ReadError(f"a header of {self.size:,} bytes, longer than any name")
        if self.type == tarfile.GNUTYPE_SPARSE:
            raise tarfile.ReadError("a file with holes, which no image is")
        if len(tarfile_.pax_headers) > _MAX_GLOBAL_RECORDS:
            raise tarfile.ReadError(f"more than {_MAX_GLOBAL_RECORDS} global records")
        member: Self = super()._proc_member(tarfile_)  # type: ignore[misc]  # typeshed lacks it
        return member

    def _refuse_holes(self, *_: object) -> None:
        raise tarfile.ReadError("a file with holes, which no image is")

    # The three spellings in PAX records; the last would read a list of any length.
    _proc_gnusparse_00 = _proc_gnusparse_01 = _proc_gnusparse_10 = _refuse_holes


def _extract_tar(archive: Path, guard: _Guard, files: MemberFiles) -> dict[str, WrittenFile]:
    with archive.open("rb") as file:
        stream: Any = UnpackedStream(file, guard.max_bytes, guard.refuse_archive)
        options: Any = {"tarinfo": _StrictTarInfo, "ignore_zeros": True}  # to what follows an end
        with _Tar.open(fileobj=stream, mode="r|", bufsize=_TAR_READ, **options) as tar:
            while (member := tar.next()) is not None:
                tar.members.clear()  # type: ignore[attr-defined]  # it would keep them all
                if member.isdir():
                    guard.count(member.name)
                    continue
                if not member.isreg():
                    kind = "is a link" if member.issym() or member.islnk() else "is a device"
                    raise guard.refuse(member.name, kind)
                path = guard.path_of(member.name, member.size)
                content = tar.extractfile(member)
                if path is None or content is None:
                    continue
                if member.size <= _MAX_IN_MEMORY:
                    files.add(Member(path, member.size, partial(io.BytesIO, content.read())))
                else:
                    files.add_now(Member(path, member.size, partial(_itself, content)))
    return files.finish()


def _itself(content: IO[bytes]) -> IO[bytes]:
    return content


class _BoundedFile(io.FileIO):
    """A zip's file. zipfile reads the table of contents at once, and keeps a value an entry."""

    def __init__(self, path: Path, guard: _Guard):
        super().__init__(path)
        self._guard = guard

    def read(self, size: int | None = -1, /) -> Any:
        if size is not None and size > _MAX_DIRECTORY_BYTES:
            raise self._guard.refuse_archive(f"has a table of contents of {size:,} bytes")
        content = super().read(-1 if size is None else size)
        if content.startswith(_ZIP_ENTRY) and content.count(_ZIP_ENTRY) > self._guard.max_entries:
            raise self._guard.refuse_archive(
                f"has more than {self._guard.max_entries:,} files and folders, too many for its "
                "size"
            )
        return content


def _begins_as_zip(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == _ZIP_MEMBER


def _extract_zip(archive: Path, guard: _Guard, files: MemberFiles) -> dict[str, WrittenFile]:
    with _BoundedFile(archive, guard) as file, zipfile.ZipFile(file) as package:
        members = package.infolist()
        before = min((member.header_offset for member in members), default=0)
        if before > 0 and _begins_as_zip(archive):
            raise zipfile.BadZipFile(f"another zip archive stands before it, of {before:,} bytes")
        for member in members:
            mode = member.external_attr >> 16
            if stat.S_ISLNK(mode):
                raise guard.refuse(member.filename, "is a link")
            if member.compress_type not in _ZIP_COMPRESSIONS:
                raise guard.refuse(member.filename, "is neither stored nor deflated")
            if member.filename.endswith("/"):  # is_dir() takes an empty name for a bug
                guard.count(member.filename)
                continue
            path = guard.path_of(member.filename, member.file_size)
            if path is not None:
                content = partial(package.open, member)
                files.add(Member(path, member.file_size, content, member.CRC))
        return files.finish()  # here, for it reads what is not written yet


@contextmanager
def _as_data_error(name: str, archive: Path) -> Iterator[None]:
    try:
        yield
    except (*_BROKEN, *_UNREADABLE) as error:
        raise _damaged(name, archive, error) from error
    except OSError as error:
        # Without a number bz2 says so that the stream is damaged; a zip's offset may be negative.
        if error.errno in (None, errno.EINVAL):
            raise _damaged(name, archive, error) from error
        if error.errno not in _BAD_NAME:
            raise
        raise DataError(
            f"{name}: {error.filename!s:.300} cannot be made ({error.strerror}): two members "
            f"claim it or its name is too long; set {source_field(name)}.url to a good copy"
        ) from error


def _damaged(name: str, archive: Path, error: Exception) -> DataError:
    kind = file_kind(archive)
    if kind is not None and kind.name not in _ARCHIVES:
        return DataError(
            f"{name}: the file is {kind.name}, not a tar or zip archive; "
            f"set {source_field(name)}.url to one"
        )
    reason = str(error) or type(error).__name__
    return DataError(
        f"{name}: the archive is truncated or damaged ({reason:.200}); "
        f"set {source_field(name)}.url to a good copy"
    )
