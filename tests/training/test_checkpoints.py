"""Checkpoints are written beside the steps: a disk that hangs, fills or is lost in the meantime."""

import shutil
import signal
from contextlib import suppress
from pathlib import Path

import pytest

from qinstruct_trainer.contract.config import Checkpointing, RunConfig
from qinstruct_trainer.contract.errors import (
    EXIT_OK,
    EXIT_STOPPED,
    EXIT_STORAGE,
    EXIT_UNAVAILABLE,
)
from qinstruct_trainer.contract.events import Checkpoint, Start, Step, StoppedEvent
from support.tmpfs import tmpfs
from support.training.held_output import HELD_OUTPUT
from support.training.processes import (
    Ended,
    Training,
    end,
    losses,
    printed,
    signal_rank,
    start,
    train,
    wait_until,
    weights,
)
from support.training.run_configs import run_config

pytestmark = pytest.mark.slow

HELD = 5  # its files are not begun until the test says so
NEXT = HELD + 1


@pytest.fixture
def config(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunConfig:
    """Of a run that saves after each step, and keeps all."""
    output = tmp_path / "output"
    output.mkdir()
    monkeypatch.setenv(HELD_OUTPUT, str(output))
    return run_config(prepared, output, checkpoint=Checkpointing(every_minutes=1e-9, keep=20))


@pytest.mark.parametrize("stage", [1, 2, 3])
def test_a_checkpoint_is_of_its_own_step_though_more_were_taken(
    stage: int, config: RunConfig, tmp_path: Path
) -> None:
    whole = config.model_copy(update={"zero_stage": stage})
    process = _start_until_the_step_after(whole)
    assert not _published(whole).exists()
    ended = _let_go(whole, process)
    assert ended.code == EXIT_OK, ended.stderr
    told = [
        (event.event, event.step) for event in ended.events if isinstance(event, Checkpoint | Step)
    ]
    assert told.index(("checkpoint", HELD)) > told.index(("step", NEXT))

    rest = whole.model_copy(update={"output": tmp_path / "rest"})
    shutil.copytree(_published(whole), _published(rest))
    shutil.copy(whole.output / "metrics.jsonl", rest.output)
    again = train(rest)
    assert again.code == EXIT_OK, again.stderr
    assert _started_at(again) == HELD
    assert losses(rest) == losses(whole)
    assert weights(rest) == weights(whole)


def test_a_stop_signal_waits_for_what_is_being_written(
    config: RunConfig, uninterrupted: RunConfig
) -> None:
    process = _start_until_the_step_after(config)
    process.send_signal(signal.SIGTERM)
    ended = _let_go(config, process)
    assert ended.code == EXIT_STOPPED, ended.stderr
    *_, held, own, stopped = ended.events
    assert isinstance(held, Checkpoint)
    assert isinstance(own, Checkpoint)
    assert isinstance(stopped, StoppedEvent)
    assert (held.step, own.step, stopped.step) == (HELD, NEXT, NEXT)
    _assert_goes_on(config, NEXT, uninterrupted)


@pytest.mark.parametrize("rank", [0, 1])
def test_a_rank_killed_meanwhile_goes_on_from_the_one_before(
    rank: int, config: RunConfig, uninterrupted: RunConfig
) -> None:
    process = _start_until_the_step_after(config)
    signal_rank(process, rank, signal.SIGKILL)
    ended = end(config, process)
    assert ended.code == 128 + signal.SIGKILL, ended.stderr
    (config.output / f"hold-{HELD}").unlink()
    _assert_goes_on(config, HELD - 1, uninterrupted)


def test_a_disk_that_fills_meanwhile_is_one_sentence_and_the_one_before_stays(
    config: RunConfig, uninterrupted: RunConfig
) -> None:
    with tmpfs(config.output / "checkpoints", "size=256m") as disk:
        process = _start_until_the_step_after(config)
        filler = disk / "filler"
        with suppress(OSError):  # the other checkpoint's last bytes came first: it is full too
            filler.write_bytes(bytes(shutil.disk_usage(disk).free))
        ended = _let_go(config, process)
        assert ended.code == EXIT_STORAGE, ended.stderr
        [failed] = ended.failures
        assert f"{_published(config)} cannot be written to its end, because the disk is full" in (
            failed.message
        )
        assert ended.stderr == f"{failed.message}\n"
        filler.unlink()
        _assert_goes_on(config, HELD - 1, uninterrupted)


def test_a_run_that_loses_its_output_meanwhile_publishes_nothing(config: RunConfig) -> None:
    process = _start_until_the_step_after(config)
    (config.output / "lease.2").touch()  # as a process does that takes the lease over
    ended = _let_go(config, process)
    assert ended.code == EXIT_UNAVAILABLE, ended.stderr
    [failed] = ended.failures
    assert failed.reason == "OutputBusy"
    assert not _published(config).exists()


def _start_until_the_step_after(config: RunConfig) -> Training:
    """A run that is about to write the held checkpoint, and has taken the step after it."""
    (config.output / f"hold-{HELD}").touch()
    process = start(config)
    assert wait_until(process, lambda: printed(config, f'"event":"step","step":{NEXT},'))
    return process


def _let_go(config: RunConfig, process: Training) -> Ended:
    (config.output / f"hold-{HELD}").unlink()
    return end(config, process)


def _published(config: RunConfig) -> Path:
    return config.output / "checkpoints" / f"step-{HELD:08d}"


def _started_at(ended: Ended) -> int:
    [event] = (event for event in ended.events if isinstance(event, Start))
    return event.step


def _assert_goes_on(config: RunConfig, step: int, uninterrupted: RunConfig) -> None:
    """The same command goes on after that step, and ends as the uninterrupted run."""
    ended = train(config)
    assert ended.code == EXIT_OK, ended.stderr
    assert _started_at(ended) == step
    assert losses(config) == losses(uninterrupted)
    assert weights(config) == weights(uninterrupted)
