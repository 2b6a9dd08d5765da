"""Files that are digested, synced and replaced as a whole."""

import hashlib
import os
from pathlib import Path

import pytest

from qinstruct_trainer.durable_files import sha256_of, sync_path, write_durably


def test_a_digest_is_that_of_the_content(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"content")
    wanted = hashlib.sha256(b"content").hexdigest()
    assert sha256_of(file) == sha256_of(file, sync=True) == wanted


def test_a_file_is_replaced_and_nothing_else_is_left(tmp_path: Path) -> None:
    file = tmp_path / "file"
    for text in ("old", "new ü"):
        write_durably(file, text)
        assert file.read_text("utf-8") == text
    assert list(tmp_path.iterdir()) == [file]


def test_a_reader_finds_the_old_text_until_the_new_one_is_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "file"
    file.write_text("old", "utf-8")
    synced: list[tuple[str, str]] = []

    def sync(descriptor: int) -> None:
        name = Path(f"/proc/self/fd/{descriptor}").readlink().name
        synced.append((name, file.read_text("utf-8")))

    monkeypatch.setattr(os, "fsync", sync)
    write_durably(file, "new")
    assert synced == [(f".file.{os.getpid()}", "old"), (tmp_path.name, "new")]


def test_a_folder_is_synced_as_a_file_is(tmp_path: Path) -> None:
    sync_path(tmp_path)
