"""A run that is stopped or killed at any moment ends in the same weights, bit for bit."""

import functools
import random
import shutil
import signal
import time
from pathlib import Path

import pytest

from qinstruct_trainer.contract.config import RunConfig
from qinstruct_trainer.contract.errors import EXIT_DATA, EXIT_OK, EXIT_STOPPED
from qinstruct_trainer.contract.events import Checkpoint, Start, StoppedEvent
from qinstruct_trainer.train.checkpoint.layout import (
    partial_folders,
    published_folders,
    step_of,
)
from support.training.prepared_folder import NUM_STEPS
from support.training.processes import (
    Ended,
    Training,
    end,
    losses,
    printed,
    signal_rank,
    start,
    steps,
    train,
    wait_until,
    weights,
)
from support.training.run_configs import EVERY_STEP, run_config

pytestmark = pytest.mark.slow


def test_stopped_at_five_steps_and_resumed_equals_uninterrupted(
    uninterrupted: RunConfig, prepared: Path, tmp_path: Path
) -> None:
    """Step 5 is the end of an epoch; at 14 one step is left."""
    for stop in (1, 4, 5, 11, 14):
        ended = train(run_config(prepared, tmp_path, stop_after_step=stop))
        assert _stopped_at(ended) == stop
        assert [step.step for step in steps(uninterrupted)[:stop]] == list(range(1, stop + 1))
    config = run_config(prepared, tmp_path)
    assert train(config).code == EXIT_OK
    _assert_same(config, uninterrupted)


def test_the_published_configuration_resumes_bit_for_bit(
    uninterrupted: RunConfig, prepared: Path, tmp_path: Path
) -> None:
    """ZeRO-3, bf16 and activation checkpointing, as on the GPUs."""
    changes: dict[str, object] = {
        "zero_stage": 3,
        "precision": "bf16",
        "activation_checkpointing": True,
    }
    whole = run_config(prepared, tmp_path / "whole", **changes)
    assert train(whole).code == EXIT_OK
    parts = run_config(prepared, tmp_path / "parts", **changes)
    assert _stopped_at(train(parts.model_copy(update={"stop_after_step": 7}))) == 7
    assert train(parts).code == EXIT_OK
    _assert_same(parts, whole)
    assert losses(whole) == pytest.approx(losses(uninterrupted), rel=0.02)


def test_activation_checkpointing_may_be_turned_on_for_the_rest(
    uninterrupted: RunConfig, prepared: Path, tmp_path: Path
) -> None:
    """It computes the same numbers a second time; a run that was short of memory goes on."""
    assert _stopped_at(train(run_config(prepared, tmp_path, stop_after_step=7))) == 7
    config = run_config(prepared, tmp_path, activation_checkpointing=True)
    assert train(config).code == EXIT_OK
    _assert_same(config, uninterrupted)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_signal_saves_and_exits_75(
    number: signal.Signals, uninterrupted: RunConfig, prepared: Path, tmp_path: Path
) -> None:
    config = run_config(prepared, tmp_path, checkpoint=EVERY_STEP)
    process = start(config)
    assert wait_until(process, lambda: printed(config, '"step":3'))
    process.send_signal(number)
    step = _stopped_at(end(config, process))
    assert 3 <= step < NUM_STEPS
    assert (tmp_path / "checkpoints" / f"step-{step:08d}").is_dir()
    assert train(config).code == EXIT_OK
    _assert_same(config, uninterrupted)


def test_a_stop_signal_of_one_rank_during_a_save_stops_both_after_it(
    uninterrupted: RunConfig, prepared: Path, tmp_path: Path
) -> None:
    config = run_config(prepared, tmp_path, checkpoint=EVERY_STEP)
    process = start(config)
    step = _signal_during_a_save(config, process)
    ended = end(config, process)
    stopped = _stopped_at(ended)
    assert step <= stopped <= step + 1  # the one after it may be under way
    saved = [event.step for event in ended.events if isinstance(event, Checkpoint)]
    assert saved == list(range(stopped + 1))
    assert train(config).code == EXIT_OK
    _assert_same(config, uninterrupted)


def test_a_stop_signal_before_the_first_step_ends_at_once(prepared: Path, tmp_path: Path) -> None:
    config = run_config(prepared, tmp_path)
    process = start(config)
    assert wait_until(process, lambda: (tmp_path / "lease.1").exists())
    process.send_signal(signal.SIGTERM)
    assert end(config, process).code == 128 + signal.SIGTERM


def test_a_rank_killed_at_ten_moments_costs_nothing(
    uninterrupted: RunConfig, prepared: Path, tmp_path: Path
) -> None:
    """Every other time while a checkpoint is being written."""
    rng = random.Random(0)
    config = run_config(prepared, tmp_path, checkpoint=EVERY_STEP)
    moments = sorted(rng.sample(range(1, NUM_STEPS), 10))
    for number, step in enumerate(moments):
        process = start(config)
        if number % 2:
            partial = tmp_path / "checkpoints" / f".partial-step-{step:08d}"
            assert wait_until(process, partial.exists)
        else:
            assert wait_until(process, functools.partial(printed, config, f'"step":{step},'))
        signal_rank(process, rng.randrange(2), signal.SIGKILL)
        ended = end(config, process)
        assert ended.code == 128 + signal.SIGKILL, ended.stderr
        assert ended.failures[-1].reason == "Killed"
    assert train(config).code == EXIT_OK
    _assert_same(config, uninterrupted)


def test_a_damaged_checkpoint_is_set_aside_for_the_one_before(
    uninterrupted: RunConfig, prepared: Path, tmp_path: Path
) -> None:
    config = run_config(prepared, tmp_path)
    for stop in (7, 9):
        assert _stopped_at(train(config.model_copy(update={"stop_after_step": stop}))) == stop
    checkpoints = tmp_path / "checkpoints"
    assert sorted(path.name for path in checkpoints.iterdir()) == ["step-00000007", "step-00000009"]
    _flip_a_bit(checkpoints / "step-00000009")

    ended = train(config)
    assert ended.code == EXIT_OK, ended.stderr
    moved = checkpoints / "quarantine" / "step-00000009"
    assert ended.stderr == (
        f"the checkpoint {checkpoints / 'step-00000009'} is damaged and was moved to {moved}; "
        "the run goes on from step-00000007\n"
    )
    assert [event.step for event in ended.events if isinstance(event, Start)] == [7]
    assert moved.is_dir()
    _assert_same(config, uninterrupted)


def test_a_run_whose_only_checkpoint_is_damaged_stops_until_the_user_says_to_begin_anew(
    uninterrupted: RunConfig, tmp_path: Path
) -> None:
    config = _copy_without_model(uninterrupted, tmp_path / "copy")
    checkpoints = config.output / "checkpoints"
    [only] = checkpoints.iterdir()
    _flip_a_bit(only)
    for _ in range(2):
        ended = train(config)
        [failed] = ended.failures
        assert (ended.code, failed.reason) == (EXIT_DATA, "BadData")
        assert ended.stderr == f"{failed.message}\n"
        assert f"no intact checkpoint ({only.name}: damaged)" in failed.message
        assert not any(isinstance(event, Start) for event in ended.events)
        assert list(checkpoints.iterdir()) == [only]

    said = failed.message.partition("or delete ")[2].partition(" to begin at step 0")[0]
    traces = [Path(name) for name in said.split(" and ")]
    assert sorted(path.name for path in traces) == [
        "checkpoints",
        "identity.json",
        "metrics.jsonl",
        "record.json",
    ]
    for path in traces:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert train(config).code == EXIT_OK
    _assert_same(config, uninterrupted)


def test_a_checkpoint_of_another_batch_is_refused(uninterrupted: RunConfig, tmp_path: Path) -> None:
    copy = _copy_without_model(uninterrupted, tmp_path / "copy")
    config = copy.model_copy(update={"global_batch_size": 16})
    ended = train(config)
    assert ended.code == 78
    assert "was written with global_batch_size 8, but the run now has 16" in ended.stderr


def test_a_finished_model_of_another_run_is_neither_taken_nor_touched(
    uninterrupted: RunConfig, tmp_path: Path
) -> None:
    """As on a retained output claim, when a run of the same name is created with other values."""
    output = tmp_path / "copy"
    shutil.copytree(uninterrupted.output, output, ignore=shutil.ignore_patterns("lease.*"))
    config = uninterrupted.model_copy(update={"output": output, "learning_rate": 0.5})
    ended = train(config)
    assert ended.code == 78
    was = uninterrupted.learning_rate
    assert f"written with learning_rate {was}, but the run now has 0.5" in ended.stderr
    assert weights(config) == weights(uninterrupted)

    (output / "identity.json").unlink()
    ended = train(config)
    assert ended.code == 65
    assert "does not say which run made it" in ended.stderr


def _signal_during_a_save(config: RunConfig, process: Training) -> int:
    """SIGTERM to rank 1 while both ranks stand still in the middle of a save; its step.

    They are stopped again and again: half of their time they save.
    """
    checkpoints = config.output / "checkpoints"
    assert wait_until(process, (checkpoints / "step-00000001").exists)
    while process.poll() is None:
        for rank in range(2):
            signal_rank(process, rank, signal.SIGSTOP)
        time.sleep(0.05)  # until they do stand still
        newest = step_of(published_folders(checkpoints)[-1])
        being_written = [n for n in map(step_of, partial_folders(checkpoints)) if n > newest]
        if being_written:
            signal_rank(process, 1, signal.SIGTERM)  # pending until it goes on
        for rank in range(2):
            signal_rank(process, rank, signal.SIGCONT)
        if being_written:
            return being_written[0]
        time.sleep(0.01)
    raise AssertionError("no save was ever seen")


def _flip_a_bit(checkpoint: Path) -> None:
    victim = max(checkpoint.rglob("*.pt"), key=lambda path: path.stat().st_size)
    content = bytearray(victim.read_bytes())
    content[len(content) // 2] ^= 1
    victim.write_bytes(content)


def _stopped_at(ended: Ended) -> int:
    assert ended.code == EXIT_STOPPED, ended.stderr
    last = ended.events[-1]
    assert isinstance(last, StoppedEvent)
    return last.step


def _copy_without_model(config: RunConfig, output: Path) -> RunConfig:
    shutil.copytree(config.output, output, ignore=shutil.ignore_patterns("model", "lease.*"))
    return config.model_copy(update={"output": output})


def _assert_same(config: RunConfig, uninterrupted: RunConfig) -> None:
    assert losses(config) == losses(uninterrupted)
    assert weights(config) == weights(uninterrupted)
