import json
from pathlib import Path

import pytest

from qinstruct_trainer.contract.errors import OutputBusyError, StorageError
from qinstruct_trainer.contract.events import Checkpoint, parse_line
from qinstruct_trainer.durable_files import sha256_of
from qinstruct_trainer.lease import Lease
from qinstruct_trainer.train.checkpoint.write import CheckpointWriter
from support.checkpoints import IDENTITY, RANKS, TextEngine, write_checkpoints
from support.syncs import note_syncs


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


def _names(output: Path) -> list[str]:
    return sorted(path.name for path in (output / "checkpoints").iterdir())
