import errno
import threading
from pathlib import Path

import pytest
import torch

from qinstruct_trainer.durable_files import sha256_of
from qinstruct_trainer.train.state_files import Cancelled, write_state
from support.syncs import note_syncs
from support.tmpfs import tmpfs

STATE = {"weights": torch.arange(3_000_000.0), "part": torch.arange(7)[2:5], "step": 3}
SIZE = 12_000_000  # bytes, and a little


def test_a_file_is_what_torch_saves_and_its_digest_needs_no_second_reading(tmp_path: Path) -> None:
    with (tmp_path / "expected").open("wb") as file:
        torch.save(STATE, file)
    digest = write_state(tmp_path / "a.pt", STATE)
    assert digest == sha256_of(tmp_path / "a.pt") == sha256_of(tmp_path / "expected")


def test_it_is_on_the_disk_afterwards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    syncs = note_syncs(monkeypatch, tmp_path / "never")
    write_state(tmp_path / "a.pt", STATE)
    assert tmp_path / "a.pt" in syncs.before


@pytest.mark.parametrize("kind", ["file", "link", "dangling link"])
def test_nothing_that_is_there_is_written_to(kind: str, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    if kind != "dangling link":
        victim.write_text("precious")
    path = victim if kind == "file" else tmp_path / "a.pt"
    if kind != "file":
        path.symlink_to(victim)
    with pytest.raises(FileExistsError):
        write_state(path, STATE)
    assert not victim.exists() if kind == "dangling link" else victim.read_text() == "precious"


@pytest.mark.parametrize("room", [0, 4096, SIZE // 2, SIZE - 4096])
def test_a_full_disk_is_the_systems_own_error(room: int, tmp_path: Path) -> None:
    with tmpfs(tmp_path / "disk", "size=20m") as disk:
        with (disk / "filler").open("wb") as filler:
            filler.write(bytes(20 * 2**20 - room // 4096 * 4096))
        with pytest.raises(OSError, match="No space left") as caught:
            write_state(disk / "a.pt", STATE)
        assert caught.value.errno == errno.ENOSPC
        assert caught.value.filename == str(disk / "a.pt")


def test_what_is_cancelled_is_not_written_any_further(tmp_path: Path) -> None:
    cancelled = threading.Event()
    cancelled.set()
    with pytest.raises(Cancelled):
        write_state(tmp_path / "a.pt", STATE, cancelled)
    assert (tmp_path / "a.pt").stat().st_size == 0
