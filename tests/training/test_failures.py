"""Runs that cannot go on say why, in one sentence, with their exit code."""

from pathlib import Path

import pytest

from qinstruct_trainer.contract.errors import (
    EXIT_CONFIG,
    EXIT_DATA,
    EXIT_SOFTWARE,
    EXIT_STORAGE,
    EXIT_UNAVAILABLE,
)
from qinstruct_trainer.contract.events import Step
from qinstruct_trainer.lease import Lease
from support.training.prepared_folder import write_prepared
from support.training.processes import Ended, train
from support.training.run_configs import run_config

pytestmark = pytest.mark.slow


def test_a_loss_that_is_not_finite_stops_before_the_optimizer(tmp_path: Path) -> None:
    prepared = write_prepared(tmp_path / "prepared", poison=True)
    ended = train(run_config(prepared, tmp_path / "run"))
    _assert_sentence(ended, EXIT_SOFTWARE, "NonFiniteLoss", "the loss of step 1 is not finite")
    assert not any(isinstance(event, Step) for event in ended.events)
    names = [path.name for path in (tmp_path / "run" / "checkpoints").iterdir()]
    assert names == ["step-00000000"]


def test_another_number_of_processes_is_refused(prepared: Path, tmp_path: Path) -> None:
    ended = train(run_config(prepared, tmp_path), num_processes=1)
    _assert_sentence(ended, EXIT_CONFIG, "BadConfig", "planned for 2 processes, but 1 were started")


def test_a_full_disk_is_known_before_the_first_step(prepared: Path, tmp_path: Path) -> None:
    ended = train(run_config(prepared, tmp_path), largest_file=100)
    _assert_sentence(ended, EXIT_STORAGE, "Storage", "the disk is full")
    assert not any(isinstance(event, Step) for event in ended.events)


def test_an_output_folder_in_use_is_refused(prepared: Path, tmp_path: Path) -> None:
    with Lease.acquire(tmp_path / "lease", "another-run"):
        ended = train(run_config(prepared, tmp_path))
    _assert_sentence(ended, EXIT_UNAVAILABLE, "OutputBusy", "held by another-run")


def test_a_fault_of_one_rank_is_the_verdict_of_the_run(tmp_path: Path) -> None:
    """An image that vanished after prep meets one rank; the other only loses its peer."""
    prepared = write_prepared(tmp_path / "prepared")
    (tmp_path / "prepared" / "images" / "3.png").write_bytes(b"not an image")
    ended = train(run_config(prepared, tmp_path / "run"))
    _assert_sentence(ended, EXIT_DATA, "BadData", "3.png")


def _assert_sentence(ended: Ended, code: int, reason: str, part: str) -> None:
    assert ended.code == code, ended.stderr
    [failed] = ended.failures
    assert (failed.reason, failed.exit_code) == (reason, code)
    assert part in failed.message
    assert ended.stderr == f"{failed.message}\n"
