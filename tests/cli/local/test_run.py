"""Prep, then training, with small scripts in their place: what is said, and the exit code."""

import signal
import sys
from pathlib import Path

import pytest

from qinstruct_operator.api.parse import parse
from qinstruct_operator.cli.local import run
from qinstruct_operator.cli.local.folder import RunFolder
from qinstruct_operator.cli.local.process import StopRequests
from qinstruct_operator.cli.local.run import LocalRun
from qinstruct_operator.cli.show_events import PlainView
from qinstruct_operator.core.plan.make import make_plan
from qinstruct_operator.settings import Settings
from qinstruct_trainer.contract.errors import EXIT_DATA, EXIT_OK, EXIT_STOPPED

STEP = (
    '{"event": "step", "step": 3, "steps": 9, "loss": 1, "learning_rate": 1, "gradient_norm": 1,'
    ' "tokens": 1, "seconds": 1, "samples_per_second": 1, "tokens_per_second": 1,'
    ' "eta_seconds": 1, "memory_bytes": 1}'
)
FAILED = '{"event": "failed", "reason": "BadData", "message": "the sentence", "exit_code": 65}'


class Outcome:
    """Runs two scripts instead of prep and training."""

    def __init__(
        self,
        folder: Path,
        monkeypatch: pytest.MonkeyPatch,
        *,
        prep: str = "",
        train: str = "",
        stops: int = 0,
    ) -> None:
        monkeypatch.setattr(run, "prep_command", lambda *_: [sys.executable, "-c", prep])
        monkeypatch.setattr(run, "train_command", lambda *_: [sys.executable, "-c", train])
        document = {
            "apiVersion": "qinstruct.dev/v1alpha1",
            "kind": "QInstructTraining",
            "metadata": {"name": "tiny"},
            "spec": {"size": "Tiny", "strategy": "after"},
        }
        plan = make_plan(parse(document), Settings(cache_path=folder, output_path=folder))
        self.folder = RunFolder(folder)
        self.folder.write_configs(plan.prep_config, plan.run_config)
        self.said: list[str] = []
        requests = StopRequests(count=stops)
        local = LocalRun(plan, self.folder, PlainView(self.said.append), "the command", requests)
        self.code = local.run()


def test_training_follows_prep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran = Outcome(tmp_path, monkeypatch, prep="print('a')", train="print('b')")
    assert ran.code == EXIT_OK
    prep, train = ran.folder.log("prep"), ran.folder.log("train")
    assert ran.said == [f"preparing the data (log: {prep})", f"training (log: {train})"]
    assert (prep.read_text(), train.read_text()) == ("a\n", "b\n")


def emitting(event: str, exit_code: int) -> str:
    """A script that says this, as prep and training do."""
    return (
        "from qinstruct_trainer.contract.events import emit, parse_line\n"
        f"emit(parse_line({event!r}, None)); exit({exit_code})"
    )


def test_a_sentence_of_prep_ends_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran = Outcome(tmp_path, monkeypatch, prep=emitting(FAILED, EXIT_DATA))
    log = ran.folder.log("prep")
    assert ran.code == EXIT_DATA
    assert ran.said[1:] == ["prep failed: the sentence", f"the whole log: {log}"]


RESTARTING = (
    '{"event": "restarting", "reason": "Killed", "message": "rank 1 was killed", "exit_code": 137,'
    ' "retry": 1, "retries": 2}'
)


def test_a_failure_that_is_made_good_in_place_is_not_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = (
        "from qinstruct_trainer.contract.events import emit, parse_line\n"
        f"for line in ({FAILED!r}, {RESTARTING!r}): emit(parse_line(line, None))\n"
        "print('the end'); exit(1)"
    )
    ran = Outcome(tmp_path, monkeypatch, train=script)
    assert "restarting in place, 1 of 2: rank 1 was killed (Killed)" in ran.said
    assert not any("the sentence" in line for line in ran.said)
    assert "  the end" in ran.said


def test_a_sentence_that_prep_has_not_written_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a name in its data, or a library, could print it."""
    ran = Outcome(tmp_path, monkeypatch, prep=f"print({FAILED!r}); exit({EXIT_DATA})")
    assert ran.code == EXIT_DATA
    assert not any("the sentence" in line for line in ran.said)


def test_without_a_sentence_the_end_of_the_log_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = f"print({STEP!r}); [print('\\x1b[2J' + str(i)) for i in range(20)]; exit(1)"
    ran = Outcome(tmp_path, monkeypatch, train=script)
    assert ran.code == 1
    assert "train ended with exit code 1 and these last lines:" in ran.said
    shown = [line.strip() for line in ran.said if line.startswith("  ")]
    assert shown == [str(i) for i in range(5, 20)]


def test_a_stop_says_how_to_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran = Outcome(tmp_path, monkeypatch, train=emitting(STEP, EXIT_STOPPED))
    assert ran.code == EXIT_STOPPED
    assert ran.said[-1] == "stopped after step 3 of 9; go on with: the command"


def test_a_request_before_a_process_starts_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = Outcome(tmp_path, monkeypatch, stops=1)
    assert ran.code == EXIT_STOPPED
    assert ran.said == ["stopped; go on with: the command"]
    assert not ran.folder.log("prep").exists()


def test_a_signal_that_nobody_asked_for_is_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed = 128 + signal.SIGKILL
    ran = Outcome(tmp_path, monkeypatch, prep="import os; os.kill(os.getpid(), 9)")
    assert ran.code == killed
    assert ran.said[1] == f"prep ended with exit code {killed} and these last lines:"
