import ctypes
import errno
import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from qinstruct_trainer.durable_files import (
    allocated_bytes,
    num_bytes,
    read_bounded,
    read_whole,
    sha256_of,
    sync_file_system,
    sync_path,
    sync_tree,
    write_durably,
)
from support.syncs import note_syncs


@pytest.mark.parametrize("sync", [False, True])
def test_the_digest_of_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, sync: bool
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"content")
    syncs = note_syncs(monkeypatch, tmp_path / "never")
    assert sha256_of(path, sync=sync) == hashlib.sha256(b"content").hexdigest()
    assert syncs.before == ({path} if sync else set())


def test_a_folder_is_synced_with_everything_below_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = tmp_path / "one" / "two"
    deep.mkdir(parents=True)
    (deep / "file").touch()
    syncs = note_syncs(monkeypatch, tmp_path / "never")
    sync_tree(tmp_path)
    assert syncs.before == {tmp_path, tmp_path / "one", deep, deep / "file"}


def call_that_fails(number: int) -> object:
    """A C library whose call for a whole file system fails so."""

    def syncfs(_descriptor: int) -> int:
        ctypes.set_errno(number)
        return -1

    return SimpleNamespace(syncfs=syncfs)


def test_a_file_system_is_synced_by_one_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    syncs = note_syncs(monkeypatch, tmp_path / "never")
    sync_file_system(tmp_path)
    assert syncs.before == set()
    with pytest.raises(FileNotFoundError):
        sync_file_system(tmp_path / "gone")


@pytest.mark.parametrize("library", [SimpleNamespace(), call_that_fails(errno.ENOSYS)])
def test_where_there_is_no_such_call_its_files_are_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, library: object
) -> None:
    (tmp_path / "file").touch()
    syncs = note_syncs(monkeypatch, tmp_path / "never")
    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: library)
    sync_file_system(tmp_path)
    assert syncs.before == {tmp_path, tmp_path / "file"}


def test_a_file_system_that_cannot_be_synced_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: call_that_fails(errno.EIO))
    with pytest.raises(OSError, match="Input/output error"):
        sync_file_system(tmp_path)


def test_a_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    write_durably(path, "n\u00e4w\n")
    assert path.read_bytes() == "n\u00e4w\n".encode()
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


def plant_folder(name: Path) -> None:
    (name / "full").mkdir(parents=True)


def plant_link(name: Path) -> None:
    name.symlink_to(name.parent / "theirs")


@pytest.mark.parametrize("plant", [plant_folder, plant_link, os.mkfifo, Path.touch])
def test_what_is_planted_at_a_temporary_name_stops_no_write(
    plant: Callable[[Path], None], tmp_path: Path
) -> None:
    path, temporary = tmp_path / "file", tmp_path / f".file.{os.getpid()}"
    plant(temporary)
    for text in ("one", "two"):
        write_durably(path, text)
        assert path.read_text() == text
    assert path.lstat().st_mode & 0o170000 == 0o100000
    left = {each.name for each in tmp_path.iterdir()} - {"file"}
    assert left == ({temporary.name} if plant is plant_folder else set())


def test_the_old_file_stays_where_the_new_one_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    path.write_text("old")

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_durably(path, "new")
    assert path.read_text() == "old"


def test_files_and_folders_are_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    monkeypatch.setattr(
        os, "fsync", lambda fd: synced.append(str(Path(f"/proc/self/fd/{fd}").readlink()))
    )
    write_durably(tmp_path / "file", "text")
    sync_path(tmp_path)
    assert synced[1:] == [str(tmp_path), str(tmp_path)]
    assert synced[0].startswith(str(tmp_path / ".file."))


def test_a_hole_takes_no_room(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with (tmp_path / "folder" / "divided").open("wb") as file:
        file.truncate(1 << 30)
        file.seek(1 << 29)
        file.write(bytes(range(256)) * 1024)
    (tmp_path / "small").write_bytes(b"12345")
    assert num_bytes(tmp_path) == (1 << 30) + 5
    assert 1 << 18 <= allocated_bytes(tmp_path) < 1 << 20


def test_what_is_read_whole_is_bounded(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"12345")
    assert read_whole(path, 5) == b"12345"
    assert read_bounded(path, 4) == b"1234"
    with pytest.raises(OSError, match="it has more than 4 bytes"):
        read_whole(path, 4)


@pytest.mark.parametrize("target", ["real", "/dev/zero", "pipe"])
def test_what_is_no_plain_file_is_not_read(target: str, tmp_path: Path) -> None:
    (tmp_path / "real").touch()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(target)
    for name in ("link", "pipe", "."):
        with pytest.raises(OSError, match=r"symbolic links|no plain file"):
            read_whole(tmp_path / name, 5)
