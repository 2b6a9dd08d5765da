"""A rank that hangs, in whatever, is named and costs nothing but time; a slow one is left alone."""

import signal
from functools import partial
from pathlib import Path

import pytest

from qinstruct_trainer.contract.config import RunConfig
from qinstruct_trainer.contract.errors import EXIT_OK, EXIT_STALLED, STALLED
from qinstruct_trainer.contract.events import Checkpoint, Failed, Restarting, parse_line
from qinstruct_trainer.heartbeats import LIMITS_ENV, Limits
from support.running import is_running
from support.training import hanging_rank
from support.training.hanging_rank import STEP
from support.training.processes import (
    Ended,
    Training,
    descendants,
    end,
    losses,
    printed,
    signal_rank,
    start,
    wait_until,
    weights,
)
from support.training.run_configs import run_config

pytestmark = pytest.mark.slow

RANK_1 = "rank 1 has"
FLOOR = Limits(floor=10)  # seconds that no healthy step takes, on a busy machine either
WAYS: dict[str, tuple[str, str]] = {
    "loader": (f"loading data at step {STEP}", "wait_for_an_event"),
    "file": (f"loading data at step {STEP}", "read_a_fifo"),
    "interpreter": (f"updating the weights at step {STEP}", "sleep_in_c"),
    "collective": (f"computing at step {STEP}", "wait_for_an_event"),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_rank_that_hangs_is_named_and_costs_nothing(
    way: str,
    uninterrupted: RunConfig,
    prepared: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    where, function = WAYS[way]
    config = run_config(prepared, tmp_path, in_place_retries=1)
    ended = end(config, start_hanging(way, config, FLOOR, monkeypatch))
    assert ended.code == EXIT_OK, ended.stderr
    check_restart(ended, where)
    assert "rank 0 (process " in ended.stderr
    assert ended.stderr.count("Current thread 0x") == 2
    assert f"in {function}\n" in ended.stderr
    assert losses(config) == losses(uninterrupted)
    assert weights(config) == weights(uninterrupted)


def test_a_stopped_rank_is_named(
    uninterrupted: RunConfig, prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = run_config(prepared, tmp_path, in_place_retries=1)
    process = start_hanging("", config, FLOOR, monkeypatch)
    assert wait_until(process, partial(printed, config, '"step":4,'))
    signal_rank(process, 1, signal.SIGSTOP)
    ended = end(config, process)
    assert ended.code == EXIT_OK, ended.stderr
    check_restart(ended, "at step ")
    assert weights(config) == weights(uninterrupted)


def test_without_a_retry_the_run_ends_and_says_why(
    prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = run_config(prepared, tmp_path, in_place_retries=0)
    ended = end(config, start_hanging("loader", config, FLOOR, monkeypatch))
    assert ended.code == EXIT_STALLED
    [failed] = ended.failures
    assert (failed.reason, failed.exit_code, failed.step) == (STALLED, EXIT_STALLED, STEP)
    assert failed.message.startswith(f"{RANK_1} made no progress since ")
    assert ended.stderr.endswith(f"{failed.message}\n")
    assert parse_line((tmp_path / "termination").read_text(), None) == failed


def test_a_stop_signal_during_a_hang_is_no_restart(
    prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = run_config(prepared, tmp_path, in_place_retries=2)
    process = start_hanging("collective", config, FLOOR, monkeypatch)
    assert wait_until(process, (tmp_path / "hung").exists)
    below = descendants(process.pid)
    process.send_signal(signal.SIGTERM)
    ended = end(config, process)
    assert ended.code == EXIT_STALLED, ended.stderr
    assert not [event for event in ended.events if isinstance(event, Restarting)]
    assert not any(is_running(pid) for pid in below)


def test_a_slow_step_is_no_hang_and_signals_show_stacks_and_save(
    uninterrupted: RunConfig, prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many times as slow as the others. The signals go to the process that a person would name."""
    config = run_config(prepared, tmp_path, in_place_retries=1)
    process = start_hanging("slow", config, Limits(floor=60, factor=1), monkeypatch)
    assert wait_until(process, (tmp_path / "hung").exists)
    process.send_signal(signal.SIGUSR1)
    process.send_signal(signal.SIGUSR2)
    ended = end(config, process)
    assert ended.code == EXIT_OK, ended.stderr
    assert not [event for event in ended.events if isinstance(event, Failed | Restarting)]
    assert ended.stderr.count("Current thread 0x") == 2
    assert "in be_slow\n" in ended.stderr
    saved = [event.step for event in ended.events if isinstance(event, Checkpoint)]
    assert saved == [0, STEP, 15]
    assert weights(config) == weights(uninterrupted)


def start_hanging(
    way: str, config: RunConfig, limits: Limits, monkeypatch: pytest.MonkeyPatch
) -> Training:
    monkeypatch.setenv(LIMITS_ENV, limits.model_dump_json())
    return start(config, main=partial(hanging_rank.main, way, config.output / "hung"))


def check_restart(ended: Ended, where: str) -> None:
    [restarting] = [event for event in ended.events if isinstance(event, Restarting)]
    assert (restarting.reason, restarting.exit_code) == (STALLED, EXIT_STALLED)
    assert restarting.message.startswith(f"{RANK_1} made no progress since ")
    assert where in restarting.message
    [failed] = ended.failures
    assert failed.message.startswith(restarting.message)
