"""Files and folders that survive a power cut: digest, size, fsync, atomic replace. Torch-free."""

import hashlib
import os
import shutil
from pathlib import Path


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


def delete_tree(path: Path) -> None:
    """Delete a folder with everything in it; of a link only the link."""
    if path.is_symlink():
        path.unlink()
    else:
        shutil.rmtree(path)


def num_bytes(folder: Path) -> int:
    """Size of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def write_durably(path: Path, text: str) -> None:
    """Write a file so that a reader, or the next boot, finds the old text or all of the new."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text, "utf-8")
    sync_path(temporary)
    temporary.replace(path)
    sync_path(path.parent)


def link_or_copy(path: Path, target: Path) -> None:
    """A second name for the bytes where the file system can, so that they are there once."""
    try:
        target.hardlink_to(path.resolve())
    except OSError:
        shutil.copyfile(path, target)
