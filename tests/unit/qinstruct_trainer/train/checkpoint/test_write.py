import errno
import json
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from qinstruct_trainer.contract.errors import OutputBusyError, StorageError
from qinstruct_trainer.contract.events import Checkpoint, parse_line
from qinstruct_trainer.durable_files import sha256_of
from qinstruct_trainer.lease import Lease
from qinstruct_trainer.train.checkpoint import host_memory, write
from qinstruct_trainer.train.checkpoint.retention import delete_partial
from qinstruct_trainer.train.checkpoint.rng import load_rng
from qinstruct_trainer.train.checkpoint.verify import verified_manifest
from qinstruct_trainer.train.checkpoint.write import CheckpointWriter
from qinstruct_trainer.train.engine import Engine
from qinstruct_trainer.train.state_files import WriteState, write_state
from support.checkpoints import IDENTITY, RANKS, TextEngine, write_checkpoints
from support.held_disk import hold_disk
from support.syncs import note_syncs
from support.tmpfs import tmpfs


def test_a_checkpoint_has_a_manifest_of_all_its_files(tmp_path: Path) -> None:
    write_checkpoints(tmp_path, 3)
    folder = tmp_path / "checkpoints" / "step-00000003"
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest == {
        "version": 1,
        "step": 3,
        "identity": {
            "model": "model-a",
            "data": "d1",
            "packing": "none",
            "learning_rate": 0.5,
        },
        "files": {
            name: sha256_of(folder / name) for name in ("latest", "rng-00000.pt", "state/text")
        },
    }


def test_an_event_reports_a_published_checkpoint(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_checkpoints(tmp_path, 3)
    event = parse_line(capsys.readouterr().out, None)
    assert isinstance(event, Checkpoint)
    assert (event.step, event.path) == (3, str(tmp_path / "checkpoints" / "step-00000003"))


def test_the_newest_stay(tmp_path: Path) -> None:
    write_checkpoints(tmp_path, 0, 4, 8, 12, keep=2)
    assert _names(tmp_path) == ["step-00000008", "step-00000012"]


def test_the_untrained_one_goes_with_the_first_trained_one(tmp_path: Path) -> None:
    """A run never goes back to it, and at 13B it takes 180 GB."""
    write_checkpoints(tmp_path, 0, 4, keep=2)
    assert _names(tmp_path) == ["step-00000004"]


def test_a_run_that_has_lost_its_lease_publishes_nothing(tmp_path: Path) -> None:
    lease = Lease.acquire(tmp_path / "lease", "one")
    writer = CheckpointWriter(tmp_path, IDENTITY, 2, RANKS, lease)
    (tmp_path / "lease.2").touch()  # as a process does that takes the lease over
    with pytest.raises(OutputBusyError, match="stop"):
        writer.save(TextEngine(), 1)
    lease.release()
    assert _names(tmp_path) == [".partial-step-00000001"]


def test_a_checkpoint_is_on_the_disk_before_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoints = tmp_path / "checkpoints"
    published = checkpoints / "step-00000003"
    syncs = note_syncs(monkeypatch, published)
    write_checkpoints(tmp_path, 3)
    partial = checkpoints / ".partial-step-00000003"
    written = {partial / path.relative_to(published) for path in published.rglob("*")}
    assert syncs.before >= {partial, *written}
    assert checkpoints in syncs.after


def test_a_disk_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").write_text("a file in the way")
    with pytest.raises(StorageError, match=r"step-00000001 cannot be written: Not a directory"):
        write_checkpoints(tmp_path, 1)


def test_what_is_saved_is_the_state_of_its_step_and_not_of_the_moment_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer, engine = _writer(tmp_path), WeightsEngine(1.0)
    go_on = hold_disk(monkeypatch, 1)
    writer.save(engine, 1, waits=False)
    random = torch.rand(3)
    engine.weights.fill_(2.0)
    assert not writer.has_written
    go_on.set()
    writer.finish()
    assert _saved(tmp_path, 1) == 1.0
    load_rng(tmp_path / "checkpoints" / "step-00000001", 0)
    assert torch.equal(torch.rand(3), random)


def test_a_save_waits_for_the_one_before(tmp_path: Path) -> None:
    writer, engine = _writer(tmp_path), WeightsEngine(1.0)
    for step in (1, 2, 3):
        engine.weights.fill_(step)
        writer.save(engine, step, waits=False)
        published = [name for name in _names(tmp_path) if not name.startswith(".")]
        assert published[-1:] == ([f"step-{step - 1:08d}"] if step > 1 else [])
    writer.finish()
    assert [_saved(tmp_path, step) for step in (2, 3)] == [2.0, 3.0]
    assert _names(tmp_path) == ["step-00000002", "step-00000003"]


def test_it_has_its_name_only_when_it_is_asked_for(tmp_path: Path) -> None:
    """On the main thread, where all ranks know that all have written."""
    writer = _writer(tmp_path)
    assert not writer.has_written
    writer.publish()
    writer.save(WeightsEngine(1.0), 1, waits=False)
    _until(lambda: writer.has_written)
    assert _names(tmp_path) == [".partial-step-00000001"]
    writer.publish()
    assert not writer.has_written
    assert _names(tmp_path) == ["step-00000001"]


def test_the_event_says_how_long_the_run_was_blocked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    writer = _writer(tmp_path)
    go_on = hold_disk(monkeypatch, 1)
    writer.save(WeightsEngine(1.0), 1, waits=False)
    time.sleep(0.3)  # the run goes on
    go_on.set()
    writer.finish()
    go_on = hold_disk(monkeypatch, 2)
    threading.Timer(0.3, go_on.set).start()
    writer.save(WeightsEngine(1.0), 2)
    beside, waited = (parse_line(line, None) for line in capsys.readouterr().out.splitlines())
    assert isinstance(beside, Checkpoint)
    assert isinstance(waited, Checkpoint)
    assert beside.seconds - (beside.blocked_seconds or 0) > 0.29
    assert 0.29 < (waited.blocked_seconds or 0) <= waited.seconds
    assert 0 < (waited.write_seconds or 0) <= waited.seconds


def test_without_memory_for_a_copy_the_run_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(host_memory, "memory_left", lambda: 0)
    writer = _writer(tmp_path)
    for step in (1, 2):
        writer.save(WeightsEngine(float(step)), step, waits=False)
        assert _saved(tmp_path, step) == step
    assert capsys.readouterr().err.count("the run waits while its checkpoints are written") == 1


def test_a_lease_that_is_lost_meanwhile_is_noticed_before_anything_gets_its_name(
    tmp_path: Path,
) -> None:
    lease = Lease.acquire(tmp_path / "lease", "one")
    writer = CheckpointWriter(tmp_path, IDENTITY, 2, RANKS, lease)
    writer.save(WeightsEngine(1.0), 1, waits=False)
    _until(lambda: writer.has_written)
    (tmp_path / "lease.2").touch()
    with pytest.raises(OutputBusyError, match="stop"):
        writer.publish()
    lease.release()
    assert _names(tmp_path) == [".partial-step-00000001"]
    assert not (tmp_path / "checkpoints" / ".partial-step-00000001" / "manifest.json").exists()


def test_a_disk_that_is_full_at_any_moment_leaves_the_one_before(tmp_path: Path) -> None:
    """Page by page more room: in the weights, the generators' states, the manifest, the names."""
    failures: list[str] = []
    with tmpfs(tmp_path / "disk", "size=1m") as disk:
        writer, engine = _writer(disk), WeightsEngine(1.0)
        writer.save(engine, 1)
        free = shutil.disk_usage(disk).free
        while True:
            filler = disk / "filler"
            filler.write_bytes(bytes(free - len(failures) * 4096))
            try:
                writer.save(engine, 2, waits=False)
                writer.finish()
                break
            except StorageError as error:
                failures.append(str(error))
            assert _saved(disk, 1) == 1.0
            assert "step-00000002" not in _names(disk)
            delete_partial(disk / "checkpoints")  # as the next start does
            filler.unlink()
        assert _saved(disk, 2) == 1.0
    assert len(failures) >= 4
    assert all("step-00000002 cannot be written to its end" in failure for failure in failures)


def test_a_failure_to_delete_the_old_ones_is_raised_by_the_next_save(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer, engine = _writer(tmp_path), WeightsEngine(1.0)
    writer.save(engine, 1)

    def fail(_checkpoints: Path, _keep: int) -> None:
        raise OSError(errno.EIO, "Input/output error", "a file")

    monkeypatch.setattr(write, "prune", fail)
    writer.save(engine, 2, waits=False)
    _until(lambda: writer.has_written)
    writer.publish()
    with pytest.raises(StorageError, match="cannot be written: Input/output error"):
        writer.save(engine, 3, waits=False)
    assert _names(tmp_path) == ["step-00000001", "step-00000002"]


def test_at_an_end_that_waits_for_nothing_no_more_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = _writer(tmp_path)
    go_on = hold_disk(monkeypatch, 1)
    writer.save(WeightsEngine(1.0), 1, waits=False)
    threading.Timer(0.2, go_on.set).start()
    writer.close()
    partial = tmp_path / "checkpoints" / ".partial-step-00000001"
    assert sum(path.stat().st_size for path in partial.rglob("*.pt")) == 0


def test_a_stop_signal_does_not_end_the_wait_at_such_an_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As torchrun sends it when another rank has died: a lease has yet to be released."""
    came: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _frame: came.append(number))
    try:
        writer = _writer(tmp_path)
        go_on = hold_disk(monkeypatch, 1)
        writer.save(WeightsEngine(1.0), 1, waits=False)

        def stop() -> None:
            assert writer._cancelled.wait(60)
            os.kill(os.getpid(), signal.SIGTERM)
            go_on.set()

        stopping = threading.Thread(target=stop)
        stopping.start()
        writer.close()
        stopping.join()
        assert came == []
        os.kill(os.getpid(), signal.SIGTERM)
        assert came == [signal.SIGTERM]
    finally:
        signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize("held", [True, False])
def test_a_save_that_waits_is_written_from_the_memory_that_is_held(
    held: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a GPU torch would copy a live state once more; without held memory it has to."""
    writer, engine = _writer(tmp_path), WeightsEngine(1.0)
    writer.save(engine, 1, waits=not held)

    def change_first(path: Path, state: object, cancelled: threading.Event) -> str:
        engine.weights.fill_(2.0)
        return write_state(path, state, cancelled)

    writer.finish()
    monkeypatch.setattr(write, "write_state", change_first)
    writer.save(engine, 2)
    assert _saved(tmp_path, 2) == (1.0 if held else 2.0)


class WeightsEngine(Engine):
    """Has weights, which are saved as DeepSpeed saves them: live ones, to be written by others."""

    def __init__(self, value: float) -> None:
        self.weights = torch.full((5000,), value)

    def save(self, folder: Path, write: WriteState = write_state) -> None:
        write(folder / "weights.pt", {"weights": self.weights})


def _writer(output: Path) -> CheckpointWriter:
    return CheckpointWriter(output, IDENTITY, 2, RANKS, lease=None)


def _saved(output: Path, step: int) -> float:
    """The value of the weights in a published checkpoint, whose digests must hold."""
    folder = output / "checkpoints" / f"step-{step:08d}"
    assert verified_manifest(folder, RANKS) is not None
    weights: Tensor = torch.load(folder / "weights.pt", weights_only=True)["weights"]
    assert (weights == weights[0]).all()
    return weights[0].item()


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def _names(output: Path) -> list[str]:
    return sorted(path.name for path in (output / "checkpoints").iterdir())
