import hashlib
import os
from pathlib import Path

import pytest

from qinstruct_trainer.durable_files import sha256_of, sync_path, sync_tree, write_durably
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


def test_a_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    write_durably(path, "n\u00e4w\n")
    assert path.read_bytes() == "n\u00e4w\n".encode()
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


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
