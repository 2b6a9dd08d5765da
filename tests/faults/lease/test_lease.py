"""The lease between real processes: one holder, take-over of the dead and the silent, fencing."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from qinstruct_trainer.contract.errors import OutputBusyError, StorageError
from qinstruct_trainer.lease import Lease
from qinstruct_trainer.lease.holder import Holder

HOLD = """
import sys, time
from pathlib import Path
from qinstruct_trainer.lease import Lease
with Lease.acquire(Path(sys.argv[1]), "other-run", stale_seconds=float(sys.argv[2])):
    print("held", flush=True)
    time.sleep(600)
"""
COUNT = """
import sys
from pathlib import Path
from qinstruct_trainer.lease import Lease
counter = Path(sys.argv[2])
for _ in range(10):
    with Lease.acquire(Path(sys.argv[1]), sys.argv[3], poll_seconds=0.001) as lease:
        value = int(counter.read_text())
        lease.check()
        counter.write_text(str(value + 1))
"""


def hold(path: Path, stale_seconds: float = 60) -> subprocess.Popen[str]:
    """A process that holds the lease until it is killed."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path), str(stale_seconds)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


def as_if_elsewhere(path: Path) -> None:
    """Rewrite the newest lease file as if another machine had written it."""
    newest = max(path.parent.glob(f"{path.name}.*"))
    here = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    newest.write_text(newest.read_text().replace(here, "0" * len(here)))


def test_released_lease_is_free_again(tmp_path: Path) -> None:
    path = tmp_path / "lease"
    for _ in range(3):
        with Lease.acquire(path, "me", wait=False) as lease:
            lease.check()
    assert len(list(tmp_path.iterdir())) == 1


def test_busy_lease_names_its_holder(tmp_path: Path) -> None:
    process = hold(tmp_path / "lease")
    try:
        with pytest.raises(OutputBusyError, match="other-run"):
            Lease.acquire(tmp_path / "lease", "me", wait=False)
    finally:
        end(process)


def test_killed_holder_is_followed_at_once(tmp_path: Path) -> None:
    process = hold(tmp_path / "lease", stale_seconds=3600)
    process.kill()  # not waited for: a zombie counts as dead too
    while "State:\tZ" not in Path(f"/proc/{process.pid}/status").read_text():
        time.sleep(0.01)
    with Lease.acquire(tmp_path / "lease", "me", stale_seconds=3600, wait=False) as lease:
        lease.check()
    process.communicate()


def test_a_waiter_learns_the_holders_name_and_goes_on(tmp_path: Path) -> None:
    process = hold(tmp_path / "lease")
    owners: list[str] = []

    def kill_holder(owner: str) -> None:
        owners.append(owner)
        end(process)

    with Lease.acquire(tmp_path / "lease", "me", on_wait=kill_holder, poll_seconds=0.01):
        assert owners == ["other-run"]


def test_silent_holder_elsewhere_is_taken_over_and_fenced(tmp_path: Path) -> None:
    path = tmp_path / "lease"
    lost = Lease.acquire(path, "frozen", stale_seconds=3600)
    as_if_elsewhere(path)
    with Lease.acquire(path, "me", stale_seconds=0.2, poll_seconds=0.01) as lease:
        lease.check()
        with pytest.raises(OutputBusyError, match="taken over"):
            lost.check()
        lost.release()
        lease.check()


def test_beating_holder_elsewhere_is_not_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "lease"
    process = hold(path, stale_seconds=0.3)
    try:
        os.kill(process.pid, signal.SIGSTOP)
        as_if_elsewhere(path)
        os.kill(process.pid, signal.SIGCONT)
        # Each heartbeat restores the true machine; what counts is that the beat is seen.
        with pytest.raises(OutputBusyError, match="other-run"):
            Lease.acquire(path, "me", stale_seconds=30, wait=False, poll_seconds=0.01)
    finally:
        end(process)


class NotedLease(Lease):
    """Keeps how many seconds it was given between two heartbeats."""

    def __init__(self, path: Path, number: int, descriptor: int, holder: Holder, beat: float):
        self.beat = beat
        super().__init__(path, number, descriptor, holder, beat)


@pytest.mark.parametrize("stale_seconds", [0.3, 60.0])
def test_several_heartbeats_may_be_late_before_the_holder_counts_as_dead(
    tmp_path: Path, stale_seconds: float
) -> None:
    with NotedLease.acquire(tmp_path / "lease", "me", stale_seconds=stale_seconds) as lease:
        assert 0 < lease.beat <= stale_seconds / 3


def test_heartbeats_go_on_after_one_that_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    contents: list[bytes] = []
    beaten = threading.Event()
    write = os.pwrite

    def pwrite(descriptor: int, content: bytes, offset: int) -> int:
        contents.append(content)
        if len(contents) == 1:
            raise OSError(116, "Stale file handle")
        if len(contents) == 3:
            beaten.set()
        return write(descriptor, content, offset)

    with Lease.acquire(tmp_path / "lease", "me", stale_seconds=0.06):
        monkeypatch.setattr(os, "pwrite", pwrite)
        assert beaten.wait(60)
    assert "failed: Stale file handle" in caplog.text
    # Who watches from another machine sees only that the content changes.
    assert len(set(contents)) == len(contents)


def test_a_holder_whose_file_is_gone_has_lost_the_lease(tmp_path: Path) -> None:
    with Lease.acquire(tmp_path / "lease", "me") as lease:
        (tmp_path / "lease.1").unlink()
        with pytest.raises(OutputBusyError, match="taken over"):
            lease.check()


def test_one_of_many_takes_over(tmp_path: Path) -> None:
    path = tmp_path / "lease"
    end(hold(path))
    winners: list[Lease] = []
    start = threading.Barrier(8)

    def race(name: str) -> None:
        start.wait()
        try:
            winners.append(Lease.acquire(path, name, wait=False))
        except OutputBusyError:
            return

    threads = [threading.Thread(target=race, args=(f"run-{i}",)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(winners) == 1
    winners[0].check()
    winners[0].release()


def test_processes_exclude_each_other(tmp_path: Path) -> None:
    counter = tmp_path / "counter"
    counter.write_text("0")
    arguments = [sys.executable, "-c", COUNT, str(tmp_path / "lease"), str(counter)]
    processes = [subprocess.Popen([*arguments, f"run-{i}"]) for i in range(3)]
    assert [process.wait() for process in processes] == [0, 0, 0]
    assert counter.read_text() == "30"


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"pid": "x"}', b"\xff"])
def test_damaged_lease_file_is_followed_when_silent(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "lease.7").write_bytes(content)
    with Lease.acquire(tmp_path / "lease", "me", stale_seconds=0.1, poll_seconds=0.01) as lease:
        lease.check()
    assert [path.name for path in tmp_path.iterdir()] == ["lease.8"]


def test_folder_that_cannot_be_written_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="lease"):
        Lease.acquire(tmp_path / "file" / "lease", "me")
