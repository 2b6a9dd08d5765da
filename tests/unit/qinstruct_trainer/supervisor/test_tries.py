"""A real supervisor, with small processes in the place of the launcher and its ranks."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from qinstruct_trainer.contract.errors import EXIT_SOFTWARE
from qinstruct_trainer.contract.events import (
    TERMINATION_LOG_ENV,
    Event,
    Failed,
    Restarting,
    parse_line,
)
from qinstruct_trainer.contract.restarts import RESTARTS_ENV
from support.running import SECONDS, is_running
from support.training.run_configs import run_config

SCRIPT = """
import json, os, signal, sys, time
from pathlib import Path
from qinstruct_trainer.contract.config import RunConfig
from qinstruct_trainer.contract.restarts import Restarts
from qinstruct_trainer.contract.events import Failed, emit
from qinstruct_trainer.supervisor import tries

ends, wait, config = json.loads(sys.argv[1]), float(sys.argv[2]), Path(sys.argv[3])
tries.wait_seconds = lambda _retry: wait
if group := os.environ.get("TEST_GROUP"):
    Path(group, "cgroup.procs").write_text(str(os.getpid()))

def run():
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda number, _frame: os._exit(100 + number))
    for number in (signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, lambda _number, _frame: os._exit(71))
    tries.unblock_signals()
    restarts = Restarts.read(os.environ)
    number = restarts.count if restarts else 0
    print("try", number, os.getpid(), flush=True)
    end = ends[min(number, len(ends) - 1)]
    if end == "orphan":
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                print("orphan", os.getpid(), flush=True)
                time.sleep(60)
            os._exit(0)
        os.wait()
        time.sleep(0.2)
        end = 71
    if end == "memory":
        bytearray(1 << 30)
    if end == "hang":
        time.sleep(60)
    if end == "say":
        emit(Failed(reason="GpuFailed", message="gone; buy one", exit_code=71))
        end = 71
    if end < 0:
        os.kill(os.getpid(), -end)
    os._exit(end)

sys.exit(tries.supervise(run, RunConfig.read(config)))
"""


class Supervised:
    """A supervisor whose tries end as they are told to."""

    def __init__(self, folder: Path, ends: list[int | str], retries: int, wait: float = 0.01):
        config = run_config(folder / "prepared.json", folder, in_place_retries=retries)
        self.termination = folder / "termination"
        self.out = folder / "out"
        file = folder / "run.json"
        file.write_text(config.to_json())
        foreign = {RESTARTS_ENV: '{"count": 7, "failed_at": 1, "step": 1}'}
        with self.out.open("w") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-c", SCRIPT, json.dumps(ends), str(wait), str(file)],
                stdout=out,
                stderr=subprocess.PIPE,
                env=os.environ | foreign | {TERMINATION_LOG_ENV: str(self.termination)},
                text=True,
            )

    def wait_for(self, text: str) -> None:
        deadline = time.monotonic() + SECONDS
        while text not in self.out.read_text():
            assert self.process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.005)

    def end(self) -> int:
        try:
            _, self.stderr = self.process.communicate(timeout=SECONDS)
        finally:
            self.process.kill()
        return self.process.returncode

    @property
    def events(self) -> list[Event]:
        lines = self.out.read_text().splitlines()
        return [event for line in lines if (event := parse_line(line, None))]

    @property
    def pids(self) -> list[int]:
        """Of those that have said it: a line can be cut off by a stop."""
        said = re.findall(r"^(?:try \d+|orphan) (\d+)\n", self.out.read_text(), re.MULTILINE)
        return [int(pid) for pid in said]


def test_what_passes_is_tried_again(tmp_path: Path) -> None:
    ran = Supervised(tmp_path, ["say", 0], retries=2)
    assert ran.end() == 0
    _, restarting = ran.events
    assert isinstance(restarting, Restarting)
    assert (restarting.reason, restarting.message) == ("GpuFailed", "gone")
    assert (restarting.exit_code, restarting.retry, restarting.retries) == (71, 1, 2)
    assert (restarting.step, restarting.checkpoint_seconds) == (None, None)
    assert "started again here in 0 s, retry 1 of 2" in ran.stderr
    assert ran.termination.read_text() == ""


def test_what_does_not_pass_ends_with_its_own_code(tmp_path: Path) -> None:
    ran = Supervised(tmp_path, [71, 76, 71], retries=2)
    assert ran.end() == 71
    told = [each for each in ran.events if isinstance(each, Restarting)]
    assert [(each.exit_code, each.retry) for each in told] == [(71, 1), (76, 2)]


@pytest.mark.parametrize("code", [0, 65, 75, 78, 143])
def test_what_must_not_be_tried_again_is_not(code: int, tmp_path: Path) -> None:
    ran = Supervised(tmp_path, [code], retries=2)
    assert ran.end() == code
    assert (ran.events, ran.stderr) == ([], "")


def test_a_launcher_that_was_killed_is_told_and_tried_again(tmp_path: Path) -> None:
    ran = Supervised(tmp_path, [-signal.SIGKILL, 0], retries=1)
    assert ran.end() == 0
    failed, restarting = ran.events
    assert isinstance(failed, Failed)
    assert failed.message.startswith("the launcher of the ranks was killed by SIGKILL")
    assert isinstance(restarting, Restarting)


@pytest.fixture
def _little_memory(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A control group of 200 MB for the supervisor."""
    groups = Path("/sys/fs/cgroup/memory")  # version 1: version 2 must be delegated first
    group = groups / f"qinstruct-test-{os.getpid()}"
    try:
        group.mkdir()
        (group / "memory.limit_in_bytes").write_text(str(200 << 20))
    except OSError as error:
        pytest.skip(f"no control group can be made: {error}")
    monkeypatch.setenv("TEST_GROUP", str(group))
    yield
    group.rmdir()


@pytest.mark.usefixtures("_little_memory")
def test_what_the_kernel_kills_for_want_of_memory_is_not_tried_again(tmp_path: Path) -> None:
    ran = Supervised(tmp_path, ["memory"], retries=2)
    assert ran.end() == EXIT_SOFTWARE
    [failed] = ran.events
    assert isinstance(failed, Failed)
    assert failed.reason == "OutOfMemory"
    assert failed.message in ran.stderr


def test_what_a_try_has_left_is_gone_before_the_next(tmp_path: Path) -> None:
    """In a session of its own, as a rank's own helpers are."""
    ran = Supervised(tmp_path, ["orphan", "hang"], retries=1)
    ran.wait_for("try 1")
    first, orphan, second = ran.pids
    assert [is_running(pid) for pid in (first, orphan, second)] == [False, False, True]
    ran.process.terminate()
    assert ran.end() == 100 + signal.SIGTERM


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_while_it_waits_ends_it_at_once(number: signal.Signals, tmp_path: Path) -> None:
    ran = Supervised(tmp_path, [71], retries=1, wait=10 * SECONDS)
    ran.wait_for('"restarting"')
    ran.process.send_signal(number)
    assert ran.end() == 128 + number


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_stop_reaches_the_try_and_is_no_failure_to_be_retried(
    number: signal.Signals, tmp_path: Path
) -> None:
    ran = Supervised(tmp_path, ["hang"], retries=5)
    ran.wait_for("try 0")
    ran.process.send_signal(number)
    assert ran.end() == 100 + number
    assert ran.events == []


@pytest.mark.parametrize("milliseconds", range(0, 60, 3))
def test_no_stop_is_lost_at_any_moment(milliseconds: int, tmp_path: Path) -> None:
    """While one try after another fails and is forked, with next to no wait between them."""
    ran = Supervised(tmp_path, [71], retries=10**6, wait=0.001)
    ran.wait_for('"retry":2')
    time.sleep(milliseconds / 1000)
    ran.process.terminate()
    assert ran.end() in {71, 100 + signal.SIGTERM, 128 + signal.SIGTERM}
    assert not any(is_running(pid) for pid in ran.pids)


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGUSR2])
def test_what_asks_for_stacks_or_a_checkpoint_is_passed_on_and_no_stop(
    number: signal.Signals, tmp_path: Path
) -> None:
    ran = Supervised(tmp_path, ["hang", 0], retries=1)
    ran.wait_for("try 0")
    ran.process.send_signal(number)
    assert ran.end() == 0
    [restarting] = ran.events
    assert isinstance(restarting, Restarting)
    assert restarting.exit_code == 71


def test_a_hang_up_that_nohup_ignores_is_ignored(tmp_path: Path) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        ran = Supervised(tmp_path, ["hang"], retries=1)
    finally:
        signal.signal(signal.SIGHUP, before)
    ran.wait_for("try 0")
    ran.process.send_signal(signal.SIGHUP)
    time.sleep(0.2)
    assert ran.process.poll() is None
    ran.process.terminate()
    assert ran.end() == 100 + signal.SIGTERM


def test_a_try_ends_with_its_supervisor(tmp_path: Path) -> None:
    ran = Supervised(tmp_path, ["hang"], retries=1)
    ran.wait_for("try 0")
    ran.process.kill()
    assert ran.end() == -signal.SIGKILL
    deadline = time.monotonic() + SECONDS
    while is_running(ran.pids[0]):
        assert time.monotonic() < deadline
        time.sleep(0.01)
