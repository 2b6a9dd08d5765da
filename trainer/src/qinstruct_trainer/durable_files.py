"""Files and folders that survive a power cut: digest, size, fsync, atomic replace. Torch-free."""

import ctypes
import errno
import hashlib
import os
import secrets
import shutil
import stat
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO


def sha256_of(path: Path, *, sync: bool = False) -> str:
    """Hexadecimal SHA-256 of a file; with `sync` the file is on the disk afterwards."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        if sync:
            os.fsync(file.fileno())
    return digest


def sync_path(path: Path) -> None:
    """Bring a file or a folder's list of names to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_tree(folder: Path) -> None:
    """Bring a folder and everything below it to the disk."""
    for path in [*folder.rglob("*"), folder]:
        sync_path(path)


def sync_file_system(folder: Path) -> None:
    """Bring all that is written to a folder's file system to the disk, 100,000 files at once.

    Where there is no such call, the folder's files one by one.

    Raises:
        OSError: something could not be written.
    """
    call = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)  # Linux has it
    if call is None:
        sync_tree(folder)
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        if call(descriptor) == 0:
            return
        number = ctypes.get_errno()
    finally:
        os.close(descriptor)
    if number != errno.ENOSYS:
        raise OSError(number, os.strerror(number), str(folder))
    sync_tree(folder)  # a sandbox that does not pass it on


def delete_tree(path: Path) -> None:
    """Delete a folder with everything in it; of a link only the link; it may be gone."""
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)
        return
    try:
        shutil.rmtree(path)
    except RecursionError as error:
        what = "its folders are nested too deeply; delete it by `rm -r`"
        raise OSError(errno.ELOOP, what, str(path)) from error


def num_bytes(folder: Path) -> int:
    """Size of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def allocated(status: os.stat_result) -> int:
    """Bytes of a file on the disk: a divided download has its whole size from the start."""
    return min(status.st_size, status.st_blocks * 512)  # of 512 bytes whatever the file system has


def allocated_bytes(folder: Path) -> int:
    """What all files below a folder take of the disk."""
    return sum(allocated(path.stat()) for path in folder.rglob("*") if path.is_file())


def write_durably(path: Path, text: str) -> None:
    """Write a file so that a reader, or the next boot, finds the old text or all of the new."""
    temporary, descriptor = _open_temporary(path)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        sync_path(temporary)
        temporary.replace(path)
    except OSError:
        with suppress(OSError):  # of a full disk: the room is needed
            temporary.unlink(missing_ok=True)
        raise
    sync_path(path.parent)


def _open_temporary(path: Path) -> tuple[Path, int]:
    """A new file beside a path. Follows no link, and none can come into its place meanwhile."""
    own = path.with_name(f".{path.name}.{os.getpid()}")
    with suppress(OSError):  # a folder, or a file that is not ours to delete
        own.unlink(missing_ok=True)  # in a container every process has the same number
    try:
        return own, _open_plain(own, os.O_EXCL)
    except FileExistsError:  # whoever has planted it cannot guess this one
        other = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
        return other, _open_plain(other, os.O_EXCL)


def is_ours_alone(path: Path) -> bool:
    """Whether a name is a plain file without another name: those others may plant, to be filled."""
    try:
        status = path.lstat()
    except FileNotFoundError:
        return False
    return stat.S_ISREG(status.st_mode) and status.st_nlink == 1


def create_new(path: Path) -> BinaryIO:
    """Open a file that is not there yet, unbuffered; anything in its place is an OSError."""
    return os.fdopen(_open_plain(path, os.O_EXCL), "wb", buffering=0)


def append_to(path: Path) -> BinaryIO:
    """Open a file to write at its end; a link in its place is an OSError."""
    return os.fdopen(_open_plain(path, os.O_APPEND), "ab")


def open_within(path: Path) -> BinaryIO:
    """Open a file to write anywhere in it; a link in its place is an OSError."""
    return os.fdopen(_open_plain(path, 0), "r+b", buffering=0)


def open_to_read(path: Path) -> int:
    """A descriptor of a plain file; a link, a pipe or a device is an OSError, at once."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return descriptor
    os.close(descriptor)
    number = errno.EISDIR if stat.S_ISDIR(mode) else errno.EINVAL
    raise OSError(number, "it is no plain file", str(path))


def read_bounded(path: Path, max_bytes: int) -> bytes:
    """The beginning of a plain file; a link, a pipe or a device is an OSError, at once."""
    with os.fdopen(open_to_read(path), "rb") as file:
        return file.read(max_bytes)


def read_whole(path: Path, max_bytes: int) -> bytes:
    """All of a plain file that is not larger than that; else an OSError, as of `read_bounded`."""
    content = read_bounded(path, max_bytes + 1)
    if len(content) > max_bytes:
        raise OSError(errno.EFBIG, f"it has more than {max_bytes:,} bytes", str(path))
    return content


def _open_plain(path: Path, flags: int) -> int:
    always = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.open(path, flags | always, 0o644)


def link_or_copy(path: Path, target: Path) -> None:
    """A second name for the bytes where the file system can, so that they are there once."""
    try:
        target.hardlink_to(path.resolve())
    except OSError:
        shutil.copyfile(path, target)
