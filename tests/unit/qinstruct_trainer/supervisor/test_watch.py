import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest

from qinstruct_trainer.contract.errors import EXIT_STALLED, STALLED
from qinstruct_trainer.contract.events import TERMINATION_LOG_ENV, Failed, parse_line
from qinstruct_trainer.heartbeats import LIMITS_ENV, Limits, Page, Phase, Row
from qinstruct_trainer.supervisor import watch as watch_module
from qinstruct_trainer.supervisor.watch import Silences, Watch, hanging, sentence
from support.running import SECONDS

RANK = """
import faulthandler, os, signal, sys, time
from qinstruct_trainer.heartbeats import Heartbeat, Phase
faulthandler.register(signal.SIGUSR1, file=2)
heartbeat = Heartbeat.of(os.environ, int(sys.argv[1]))
for _ in range(int(sys.argv[2])):
    heartbeat.begin(Phase.START)
print(flush=True)
for _ in sys.stdin:
    heartbeat.begin(Phase.START)
"""


def row(beats: int, limit: float = 10.0, step: int = 5) -> Row:
    return Row(beats, limit, Phase.LOAD, step, os.getpid())


CASES: dict[str, tuple[dict[int, Row], dict[int, float], list[int]]] = {
    "nobody has begun": ({}, {}, []),
    "all are in time": ({0: row(7), 1: row(7)}, {0: 9, 1: 10}, []),
    "the one furthest behind": ({0: row(8), 1: row(7)}, {0: 9, 1: 11}, [1]),
    "who waits is never late": ({0: row(8), 1: row(7)}, {0: 99, 1: 9}, []),
    "not even with a shorter limit": ({0: row(8, 1), 1: row(7, 60)}, {0: 59, 1: 59}, []),
    "the last one to come decides": ({0: row(7), 1: row(7)}, {0: 99, 1: 9}, []),
    "all at the same place": ({0: row(7), 1: row(7), 2: row(8)}, {0: 99, 1: 11, 2: 99}, [0, 1]),
}


@pytest.mark.parametrize(("rows", "silences", "expected"), CASES.values(), ids=CASES)
def test_who_hangs(rows: dict[int, Row], silences: dict[int, float], expected: list[int]) -> None:
    assert hanging(rows, silences) == expected


def test_a_silence_begins_anew_with_each_beat_and_leaves_out_what_nobody_has_seen() -> None:
    silences = Silences()
    assert silences.after(1, {0: row(1)}) == {0: 0}
    assert silences.after(1, {0: row(1), 1: row(1)}) == {0: 1, 1: 0}
    assert silences.after(1.5, {0: row(1), 1: row(1)}) == {0: 2.5, 1: 1.5}
    assert silences.after(3600, {0: row(1), 1: row(2)}) == {0: 4.5, 1: 0}  # all was frozen


NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
SENTENCES = {
    "rank 3 has made no progress since 2026-03-01T11:54:59Z (301 s), loading data at step 5; ": (
        [3],
        5,
    ),
    "ranks 0 and 3 have made no progress since 2026-03-01T11:54:59Z (301 s), loading data at ": (
        [0, 3],
        5,
    ),
    "ranks 0, 1 and 3 have made no progress since 2026-03-01T11:54:59Z (301 s), loading data "
    "before its first step; ": ([0, 1, 3], 0),
}


@pytest.mark.parametrize("begin", SENTENCES)
def test_the_sentence(begin: str) -> None:
    ranks, step = SENTENCES[begin]
    said = sentence(ranks, row(1, step=step), 301, NOW)
    assert said.startswith(begin)
    assert said.endswith("start the same command again: it goes on from the last checkpoint")


class Ranks:
    """Real processes with a heartbeat, which a test lets hang, stop or die."""

    def __init__(self, limit: float):
        self.page = Page()
        self._environment = dict(os.environ) | {LIMITS_ENV: Limits(long=limit).model_dump_json()}
        self.processes: list[subprocess.Popen[str]] = []

    def start(self, beats: int) -> subprocess.Popen[str]:
        """One more; it has said so many things, and says another one for each line it reads."""
        process = subprocess.Popen(
            [sys.executable, "-c", RANK, str(len(self.processes)), str(beats)],
            env=self._environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.processes.append(process)
        assert process.stdout
        assert process.stdout.readline() == "\n"
        return process


@pytest.fixture
def ranks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Ranks]:
    monkeypatch.setattr(os, "environ", os.environ.copy())
    os.environ[TERMINATION_LOG_ENV] = str(tmp_path / "termination")
    started = Ranks(limit=3)
    yield started
    for process in started.processes:
        process.kill()
        process.communicate()


def test_a_rank_that_hangs_ends_all_and_is_named(
    ranks: Ranks, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = ranks.start(2), ranks.start(1)
    with Watch(ranks.page) as watch:
        assert [process.wait(SECONDS) for process in (first, second)] == [-signal.SIGKILL] * 2
    assert watch.exit_code == EXIT_STALLED
    said = capsys.readouterr()
    failed = parse_line(said.out, None)
    assert isinstance(failed, Failed)
    assert (failed.reason, failed.exit_code, failed.step) == (STALLED, EXIT_STALLED, None)
    assert failed.message.startswith("rank 1 has made no progress since ")
    assert "starting before its first step; " in failed.message
    assert said.err.splitlines()[-1] == failed.message
    for process in (first, second):
        assert process.stderr
        assert "most recent call first" in process.stderr.read()


def test_a_stopped_rank_is_named_wherever_it_is_and_shows_its_stacks(
    ranks: Ranks, capsys: pytest.CaptureFixture[str]
) -> None:
    _, stopped = ranks.start(1), ranks.start(1)
    stopped.send_signal(signal.SIGSTOP)
    with Watch(ranks.page):
        assert stopped.wait(SECONDS) == -signal.SIGKILL
    assert "\nrank 1 has made no progress since " in capsys.readouterr().err
    assert stopped.stderr
    assert "most recent call first" in stopped.stderr.read()


def test_what_torchs_agent_ends_is_left_to_it(ranks: Ranks) -> None:
    """One rank has died; the others may not have ended yet when their limit comes."""
    left, dead = ranks.start(1), ranks.start(1)
    dead.kill()
    dead.wait()
    with Watch(ranks.page) as watch, pytest.raises(subprocess.TimeoutExpired):
        left.wait(6)
    assert watch.exit_code is None


def test_who_goes_on_is_left_alone(ranks: Ranks) -> None:
    going = ranks.start(1)
    assert going.stdin
    with Watch(ranks.page) as watch:
        for _ in range(25):
            going.stdin.write("\n")
            going.stdin.flush()
            with pytest.raises(subprocess.TimeoutExpired):
                going.wait(0.2)
    assert watch.exit_code is None


def test_a_checkpoint_is_asked_for_where_a_rank_is_left(ranks: Ranks) -> None:
    process = ranks.start(1)
    with Watch(ranks.page) as watch:
        watch.wants_save = True
        assert process.wait(SECONDS) == -signal.SIGUSR2  # it has no handler


def test_who_goes_on_in_the_last_moment_is_left_alone(
    ranks: Ranks, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the stacks and the end of the ranks."""
    late = ranks.start(1)
    monkeypatch.setattr(watch_module, "say", partial(_let_go_on, late))
    with Watch(ranks.page) as watch, pytest.raises(subprocess.TimeoutExpired):
        late.wait(7)
    assert watch.exit_code is None
    assert capsys.readouterr().out == ""


def _let_go_on(process: subprocess.Popen[str], _text: str) -> None:
    assert process.stdin
    for _ in range(2):
        process.stdin.write("\n")
    process.stdin.flush()


def test_a_log_that_nobody_reads_keeps_nobody_alive(
    ranks: Ranks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch_module, "_SAY_SECONDS", 0.5)
    monkeypatch.setattr(watch_module, "say", lambda _text: threading.Event().wait())
    process = ranks.start(1)
    with Watch(ranks.page) as watch:
        assert process.wait(SECONDS) == -signal.SIGKILL
    assert watch.exit_code == EXIT_STALLED


def test_a_rank_whose_end_is_never_noticed_keeps_nobody_alive(
    ranks: Ranks, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where one of its threads is left in a driver: to the others it looks ended."""
    monkeypatch.setattr(watch_module, "_DEAD_SECONDS", 2.0)
    left, dead = ranks.start(1), ranks.start(1)
    dead.kill()  # and not waited for
    with Watch(ranks.page) as watch:
        assert left.wait(SECONDS) == -signal.SIGKILL
    assert watch.exit_code == EXIT_STALLED
