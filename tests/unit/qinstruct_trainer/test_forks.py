import json
import logging
import os
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

import pytest

from qinstruct_trainer.forks import WaitingFork, forks_as_ranks, has_opened
from support.running import SECONDS, is_running, wait_until

# Python 3.12 warns of a fork in a process with threads, as pytest's may have.
pytestmark = pytest.mark.filterwarnings(r"ignore:This process .* is multi-threaded")

CODE = 65


def describe(arguments: Sequence[str]) -> NoReturn:
    """Write into the file that the arguments name what this process is."""
    seen = {
        "arguments": arguments,
        "environment": dict(os.environ),
        "name": Path("/proc/self/comm").read_text(),
        "leads its session": os.getsid(0) == os.getpid(),
        "SIGTERM": signal.getsignal(signal.SIGTERM) == signal.SIG_DFL,
        "SIGINT": signal.getsignal(signal.SIGINT) == signal.default_int_handler,
        "logs errors": logging.getLogger("x").isEnabledFor(logging.ERROR),
    }
    Path(arguments[0]).write_text(json.dumps(seen))
    os._exit(CODE)


@pytest.fixture
def fork() -> Iterator[WaitingFork]:
    made = WaitingFork(describe)
    yield made
    made.kill()
    made.wait(SECONDS)


def test_a_fork_is_like_a_new_process_with_these_arguments_and_this_environment(
    tmp_path: Path,
) -> None:
    def ours(_number: int, _frame: object) -> None:
        raise AssertionError

    before = [signal.signal(number, ours) for number in (signal.SIGTERM, signal.SIGINT)]
    logging.disable(logging.ERROR)
    try:
        fork = WaitingFork(describe)
    finally:
        logging.disable(logging.NOTSET)
        for number, handler in zip((signal.SIGTERM, signal.SIGINT), before, strict=True):
            signal.signal(number, handler)
    assert fork.poll() is None
    said = tmp_path / "said"
    fork.begin([str(said), "--x"], {"RANK": "3", "A": "b"})
    assert fork.wait(SECONDS) == CODE
    assert fork.poll() == CODE
    assert json.loads(said.read_text()) == {
        "arguments": [str(said), "--x"],
        "environment": {"RANK": "3", "A": "b"},
        "name": "rank 3\n",
        "leads its session": True,
        "SIGTERM": True,
        "SIGINT": True,
        "logs errors": True,
    }


def test_a_fork_that_is_killed_while_it_waits_is_a_killed_rank(fork: WaitingFork) -> None:
    os.kill(fork.pid, signal.SIGKILL)
    wait_until(lambda: not is_running(fork.pid))
    fork.begin(["x"], {"RANK": "0"})
    assert fork.wait(SECONDS) == -signal.SIGKILL


def test_waiting_for_a_fork_ends_in_time(fork: WaitingFork) -> None:
    with pytest.raises(subprocess.TimeoutExpired):
        fork.wait(0.01)


def test_a_fork_ends_with_its_parent_while_it_waits() -> None:
    script = (
        "import sys, time\n"
        "from qinstruct_trainer.forks import WaitingFork\n"
        f"print(WaitingFork(sys.exit).pid, flush=True); time.sleep({10 * SECONDS})"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert is_running(pid)
        parent.kill()
    wait_until(lambda: not is_running(pid))


def _handler(*arguments: str, stdout: str = "") -> Any:
    """What torch's agent makes to start a rank."""
    api: Any = import_module("torch.distributed.elastic.multiprocessing.api")
    return api.get_subprocess_handler(
        sys.executable, arguments, {"RANK": "1"}, stdout, "", local_rank_id=1, numa_options=None
    )


def test_torchs_agent_takes_a_fork_for_each_rank_of_ours_and_a_process_for_all_else(
    fork: WaitingFork, tmp_path: Path
) -> None:
    waiting = deque([fork])
    said, log = tmp_path / "said", tmp_path / "log"
    with forks_as_ranks(waiting):
        other = _handler("-c", "import sys; sys.exit(66)")
        redirected = _handler("-u", "-m", "qinstruct_trainer", "--help", stdout=str(log))
        ours = _handler("-u", "-m", "qinstruct_trainer", str(said))
        again = _handler("-u", "-m", "qinstruct_trainer", "--wrong")
        assert [x.proc.wait(SECONDS) for x in (other, redirected, ours, again)] == [66, 0, CODE, 2]
    redirected._stdout.close()
    assert ours.proc is fork
    assert json.loads(said.read_text())["environment"] == dict(os.environ) | {"RANK": "1"}
    assert "usage" in log.read_text()


def test_no_fork_is_left_waiting(fork: WaitingFork) -> None:
    with forks_as_ranks(deque([fork])):
        pass
    assert fork.wait(SECONDS) == -signal.SIGKILL
    other = _handler("-c", "").proc
    assert other.wait(SECONDS) == 0
    assert not isinstance(other, WaitingFork)


def test_a_device_that_is_open_is_seen() -> None:
    assert not has_opened("/dev/full")
    with Path("/dev/full").open("wb", buffering=0):
        assert has_opened("/dev/full")
