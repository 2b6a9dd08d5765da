import hashlib
import os
from pathlib import Path

import pytest

from qinstruct_trainer.durable_files import sha256_of, sync_path, write_durably


@pytest.mark.parametrize("sync", [False, True])
def test_the_digest_of_a_file(tmp_path: Path, *, sync: bool) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"content")
    assert sha256_of(path, sync=sync) == hashlib.sha256(b"content").hexdigest()


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
