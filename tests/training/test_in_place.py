"""Ranks that fail for reasons that pass are started again in place, at no cost but time."""

import functools
import os
import signal
import time
from pathlib import Path

import pytest

from qinstruct_trainer.contract.config import RunConfig
from qinstruct_trainer.contract.errors import EXIT_DATA, EXIT_OK, EXIT_STOPPED
from qinstruct_trainer.contract.events import (
    Complete,
    Failed,
    Restarting,
    Start,
    Step,
    parse_line,
)
from support.running import SECONDS, is_running
from support.running import wait_until as until
from support.training.prepared_folder import write_prepared
from support.training.processes import (
    Ended,
    descendants,
    end,
    losses,
    printed,
    signal_rank,
    start,
    train,
    wait_until,
    weights,
)
from support.training.run_configs import EVERY_STEP, run_config

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("rank", [0, 1])
def test_a_killed_rank_costs_nothing_and_no_process_above_the_ranks_changes(
    rank: int, uninterrupted: RunConfig, prepared: Path, tmp_path: Path
) -> None:
    config = run_config(prepared, tmp_path, checkpoint=EVERY_STEP, in_place_retries=2)
    process = start(config)
    assert wait_until(process, functools.partial(printed, config, '"step":4,'))
    signal_rank(process, rank, signal.SIGKILL)
    ended = end(config, process)
    assert ended.code == EXIT_OK, ended.stderr
    told = [type(each) for each in ended.events if isinstance(each, Failed | Restarting | Start)]
    assert list(dict.fromkeys(told[:-1])) == [Start, Failed, Restarting]  # rank 0's failure too
    assert told[-1] is Start
    [restarting] = restarts(ended)
    assert (restarting.reason, restarting.exit_code) == ("Killed", 137)
    assert (restarting.retry, restarting.retries) == (1, 2)
    assert restarting.message.startswith(f"rank {rank} was killed by SIGKILL")
    assert "start the same command" not in restarting.message
    assert (restarting.step or 0) >= 4
    assert 0 <= (restarting.checkpoint_seconds or 0) < SECONDS
    first, second = (event for event in ended.events if isinstance(event, Start))
    assert (first.restarts, second.restarts) == (None, 1)
    # A checkpoint after each step, written beside the next one: at most two are taken again.
    assert restarting.step
    assert restarting.step - 2 <= second.step <= restarting.step
    last = [event for event in ended.events if isinstance(event, Step)][-1]
    assert last.restarts == 1
    assert 5 < (last.lost_seconds or 0) < 10 * SECONDS
    assert isinstance(parse_line((tmp_path / "termination").read_text(), None), Complete)
    assert losses(config) == losses(uninterrupted)
    assert weights(config) == weights(uninterrupted)


def test_what_fails_more_often_than_it_may_ends_as_without_retries(
    prepared: Path, tmp_path: Path
) -> None:
    ends: dict[int, Ended] = {}
    for retries in (0, 1):
        config = run_config(prepared, tmp_path / str(retries), in_place_retries=retries)
        process = start(config)
        for starts in range(1, retries + 2):
            assert wait_until(process, functools.partial(has_started, config, starts))
            signal_rank(process, 1, signal.SIGKILL)
        ends[retries] = end(config, process)
    assert ends[0].code == ends[1].code == 128 + signal.SIGKILL
    assert [type(event) for event in ends[1].events if not isinstance(event, Step)][-1] is Failed
    for ended in ends.values():
        final = ended.failures[-1]
        assert final.model_dump(exclude={"time"}) == ends[0].failures[-1].model_dump(
            exclude={"time"}
        )
        assert ended.stderr.endswith(ends[0].stderr)
    assert (len(restarts(ends[0])), len(restarts(ends[1]))) == (0, 1)
    said = parse_line((tmp_path / "1" / "termination").read_text(), None)
    assert isinstance(said, Failed)
    assert said == ends[1].failures[-1]


def test_what_must_be_changed_first_is_not_retried(tmp_path: Path) -> None:
    prepared = write_prepared(tmp_path / "prepared")
    (tmp_path / "prepared" / "images" / "3.png").write_bytes(b"not an image")
    ended = train(run_config(prepared, tmp_path / "run", in_place_retries=2))
    assert ended.code == EXIT_DATA
    assert not restarts(ended)
    [failed] = ended.failures
    assert ended.stderr == f"{failed.message}\n"


def test_a_stop_signal_saves_and_exits_75_below_a_supervisor_too(
    uninterrupted: RunConfig, prepared: Path, tmp_path: Path
) -> None:
    config = run_config(prepared, tmp_path, checkpoint=EVERY_STEP, in_place_retries=2)
    process = start(config)
    assert wait_until(process, functools.partial(printed, config, '"step":3,'))
    process.send_signal(signal.SIGTERM)
    ended = end(config, process)
    assert (ended.code, restarts(ended)) == (EXIT_STOPPED, [])
    assert train(config).code == EXIT_OK
    assert weights(config) == weights(uninterrupted)


@pytest.mark.parametrize("delay", [0.5, 5.0, 5.3, 7.0, 10.0])
def test_a_stop_signal_after_a_failure_ends_it_whenever_it_comes(
    delay: float, prepared: Path, tmp_path: Path
) -> None:
    """While it waits, while it forks, while the next try imports or loads."""
    config = run_config(prepared, tmp_path, in_place_retries=2)
    process = start(config)
    assert wait_until(process, functools.partial(has_started, config, 1))
    signal_rank(process, 0, signal.SIGKILL)
    assert wait_until(process, functools.partial(printed, config, '"restarting"'))
    time.sleep(delay)
    below = descendants(process.pid)
    process.send_signal(signal.SIGTERM)
    begin = time.monotonic()
    ended = end(config, process)
    assert ended.code in {128 + signal.SIGTERM, EXIT_STOPPED}, ended.stderr
    assert time.monotonic() - begin < SECONDS
    assert len(restarts(ended)) == 1
    assert not any(is_running(pid) for pid in below)


def test_a_supervisor_that_is_killed_takes_all_with_it(prepared: Path, tmp_path: Path) -> None:
    config = run_config(prepared, tmp_path, in_place_retries=2)
    process = start(config)
    assert wait_until(process, functools.partial(has_started, config, 1))
    below = descendants(process.pid)
    assert len(below) >= 3
    process.kill()
    process.wait(SECONDS)
    until(lambda: not any(is_running(pid) for pid in below))


def test_a_killed_launcher_is_a_failure_that_is_retried(
    uninterrupted: RunConfig, prepared: Path, tmp_path: Path
) -> None:
    config = run_config(prepared, tmp_path, in_place_retries=1)
    process = start(config)
    assert wait_until(process, functools.partial(has_started, config, 1))
    os.kill(descendants(process.pid)[0], signal.SIGKILL)
    ended = end(config, process)
    assert ended.code == EXIT_OK, ended.stderr
    [restarting] = restarts(ended)
    assert restarting.message.startswith("the launcher of the ranks was killed by SIGKILL")
    assert weights(config) == weights(uninterrupted)


def restarts(ended: Ended) -> list[Restarting]:
    return [event for event in ended.events if isinstance(event, Restarting)]


def has_started(config: RunConfig, times: int) -> bool:
    return (config.output / "stdout").read_text().count('"event":"start"') >= times
