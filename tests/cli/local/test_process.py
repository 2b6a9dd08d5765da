"""One real process of a local run: events, log, exit codes, stop requests, and no orphan."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from qinstruct_operator.cli.local.process import StopRequests, run_child
from qinstruct_trainer.contract.events import WRITER_ENV, Complete, Event
from support.running import SECONDS, is_running, wait_until

WRITER = "0123456789abcdef"
SLEEP = f"import time; time.sleep({10 * SECONDS})"


class Outcome:
    """Runs `python -c script` and keeps what came of it."""

    def __init__(self, script: str, folder: Path, *, stops: int = 0) -> None:
        """`stops`: so many SIGINTs are sent to this process, one for each event `complete`."""
        self.events: list[Event] = []
        self.announced = 0
        self.log = folder / "child.log"
        self._stops = stops
        requests = StopRequests()
        with requests.listening():
            self.code = run_child(
                [sys.executable, "-c", script],
                environment=os.environ | {WRITER_ENV: WRITER},
                writer=WRITER,
                log=self.log,
                requests=requests,
                on_event=self._on_event,
                on_stop=self._on_stop,
            )

    def _on_event(self, event: Event) -> None:
        self.events.append(event)
        if self._stops:
            self._stops -= 1
            os.kill(os.getpid(), signal.SIGINT)

    def _on_stop(self) -> None:
        self.announced += 1


SAY = "import sys; from qinstruct_trainer.contract.events import emit, Complete\n"


def test_events_are_seen_and_everything_is_logged(tmp_path: Path) -> None:
    script = SAY + (
        "emit(Complete(model='a')); print('not an event'); print('{\"event\": \"unknown\"}')\n"
        "print('to the log', file=sys.stderr); sys.stdout.write('no end of line')"
    )
    (tmp_path / "child.log").write_text("an earlier start\n")

    ran = Outcome(script, tmp_path)

    assert ran.code == 0
    assert [event.model for event in ran.events if isinstance(event, Complete)] == ["a"]
    log = ran.log.read_text()
    assert log.startswith("an earlier start\n")
    for text in ("not an event", "unknown", "to the log", "no end of line", '"complete"'):
        assert text in log


def test_a_line_of_another_writer_is_no_event(tmp_path: Path) -> None:
    """Of a name with a line of its own, a library, or an earlier start whose log is quoted."""
    forged = Complete(model="forged").model_dump_json()
    quoted = Complete(model="quoted", writer="fedcba9876543210").model_dump_json()
    script = f"print({forged!r}); print({quoted!r}); emit(Complete(model='a'))"
    ran = Outcome(SAY + script, tmp_path)
    assert [event.model for event in ran.events if isinstance(event, Complete)] == ["a"]
    assert "forged" in ran.log.read_text()


def test_no_event_commands_the_terminal(tmp_path: Path) -> None:
    """Its log keeps the line as it was."""
    ran = Outcome(SAY + "emit(Complete(model='\\x1b]0;mine\\x07a\\x1b[2J\\u202e'))", tmp_path)
    assert [event.model for event in ran.events if isinstance(event, Complete)] == ["a?"]
    assert "]0;mine" in ran.log.read_text()


def test_exit_codes(tmp_path: Path) -> None:
    assert Outcome("import sys; sys.exit(65)", tmp_path).code == 65
    assert Outcome("import os; os.kill(os.getpid(), 9)", tmp_path).code == 137


def test_the_first_request_is_passed_on_as_sigterm(tmp_path: Path) -> None:
    script = SAY + (
        "import signal, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(75))\n"
        f"emit(Complete(model='ready')); time.sleep({10 * SECONDS})"
    )
    ran = Outcome(script, tmp_path, stops=1)
    assert (ran.code, ran.announced) == (75, 1)


def test_the_second_request_kills_what_does_not_listen(tmp_path: Path) -> None:
    script = SAY + (
        "import signal, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: emit(Complete(model='not yet')))\n"
        "emit(Complete(model='ready'))\n"
        f"for _ in range({SECONDS}): time.sleep(1)"
    )
    ran = Outcome(script, tmp_path, stops=2)
    assert (ran.code, ran.announced) == (137, 1)


def test_a_grandchild_that_holds_the_pipe_does_not_hold_the_run(tmp_path: Path) -> None:
    script = (
        "import os, subprocess, sys\n"
        f"child = subprocess.Popen([sys.executable, '-c', {SLEEP!r}])\n"
        "print(child.pid, flush=True); os.kill(os.getpid(), 9)"
    )
    ran = Outcome(script, tmp_path)
    assert ran.code == 137
    grandchild = int(ran.log.read_text())
    wait_until(lambda: not is_running(grandchild))


def test_a_child_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    """The parent is `qinstruct` itself in this test: a process that calls run_child."""
    script = f"import os, time; print(os.getpid(), flush=True); time.sleep({10 * SECONDS})"
    parent = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import os, sys; from pathlib import Path\n"
            "from qinstruct_operator.cli.local.process import StopRequests, run_child\n"
            f"run_child([sys.executable, '-c', {script!r}], environment=os.environ,\n"
            f"  writer='', log=Path({str(tmp_path / 'log')!r}), requests=StopRequests(),\n"
            "  on_event=lambda event: None, on_stop=lambda: None)",
        ]
    )
    log = tmp_path / "log"
    wait_until(lambda: log.exists() and log.read_bytes().endswith(b"\n"))
    child = int(log.read_text())
    assert is_running(child)

    parent.kill()
    parent.wait()

    wait_until(lambda: not is_running(child))


def test_listening_gives_the_signals_back() -> None:
    before = signal.getsignal(signal.SIGINT)
    requests = StopRequests()
    with requests.listening():
        signal.raise_signal(signal.SIGHUP)
    assert requests.count == 1
    assert signal.getsignal(signal.SIGINT) is before
