"""Runs prep, then training, on this machine, with the commands and configs of the pods.

The events that they print drive the display; a failed one's exit code becomes the command's.
"""

import os
import secrets
import signal
import sys
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from qinstruct_operator.cli.local.folder import RunFolder
from qinstruct_operator.cli.local.process import StopRequests, run_child
from qinstruct_operator.cli.show_events import View
from qinstruct_operator.cli.terminal import sanitize
from qinstruct_operator.core.plan.types import Plan
from qinstruct_trainer.contract.errors import EXIT_OK, EXIT_STOPPED
from qinstruct_trainer.contract.events import (
    TERMINATION_LOG_ENV,
    WRITER_ENV,
    Event,
    Failed,
    Restarting,
    Step,
)
from qinstruct_trainer.contract.launch import prep_command, train_command

_SIGNAL_EXIT_CODES = frozenset({128 + signal.SIGINT, 128 + signal.SIGTERM, 128 + signal.SIGKILL})
_ACTIVITY = {"prep": "preparing the data", "train": "training"}
_TAIL_LINES = 15


@dataclass
class LocalRun:
    """Prep and training of one plan, from the start or from where they were stopped.

    Attributes:
        resume_command: What the user enters to go on after a stop.
        last_step: The newest step event, or None before the first.
        failed: The event of a child that failed, or None.
    """

    plan: Plan
    folder: RunFolder
    view: View
    resume_command: str
    requests: StopRequests
    last_step: Step | None = field(default=None, init=False)
    failed: Failed | None = field(default=None, init=False)

    def run(self) -> int:
        """Prepare, train, export and evaluate; returns the exit code of what ended the run."""
        code = self._run_process("prep", prep_command(sys.executable, self.folder.prep_config))
        if code == EXIT_OK:
            command = train_command(sys.executable, self.folder.run_config, self.plan.num_processes)
            code = self._run_process("train", command)
        return code

    def _run_process(self, name: str, command: Sequence[str]) -> int:
        if self.requests.count:  # between two processes
            return self._report_stop()
        # Both load their libraries for seconds before their first event.
        self.view.note(f"{_ACTIVITY[name]} (log: {self.folder.log(name)})")
        self.failed = None
        begin = _size(self.folder.log(name))
        writer = secrets.token_hex(16)
        code = run_child(
            command,
            environment=self._environment(name) | {WRITER_ENV: writer},
            writer=writer,
            log=self.folder.log(name),
            requests=self.requests,
            on_event=self._on_event,
            on_stop=lambda: self._announce_stop(name),
        )
        was_killed = self.requests.count and code in _SIGNAL_EXIT_CODES
        if code == EXIT_STOPPED or was_killed:
            return self._report_stop()
        if code != EXIT_OK:
            self._report_failure(name, code, begin)
        return code

    def _environment(self, name: str) -> dict[str, str]:
        own = {
            "OMP_NUM_THREADS": "1",  # torchrun's own default: the processes share the cores
            "PYTHONUNBUFFERED": "1",
            TERMINATION_LOG_ENV: str(self.folder.termination_log(name)),
        }
        if self.plan.run_config.size == "Tiny":
            own["CUDA_VISIBLE_DEVICES"] = ""  # its plan is for CPUs: fp32, two processes
        return os.environ | own

    def _on_event(self, event: Event) -> None:
        if isinstance(event, Step):
            self.last_step = event
        if isinstance(event, Failed):
            self.failed = event
        if isinstance(event, Restarting):
            self.failed = None  # that was not the end
        self.view.show(event)

    def _announce_stop(self, name: str) -> None:
        what = "saving a checkpoint" if name == "train" else "stopping"
        self.view.note(f"{what} ... (Ctrl-C again to kill)")

    def _report_stop(self) -> int:
        at = (
            f" after step {self.last_step.step} of {self.last_step.steps}" if self.last_step else ""
        )
        self.view.note(f"stopped{at}; go on with: {self.resume_command}")
        return EXIT_STOPPED

    def _report_failure(self, name: str, code: int, begin: int) -> None:
        """Say why a child failed: its own sentence, or else the end of what it printed."""
        log = self.folder.log(name)
        if self.failed is not None:
            self.view.note(f"{name} failed: {self.failed.message}")
        else:
            self.view.note(f"{name} ended with exit code {code} and these last lines:")
            for line in _tail(log, begin):
                self.view.note(f"  {sanitize(line)}")
        self.view.note(f"the whole log: {log}")


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _tail(log: Path, begin: int) -> Sequence[str]:
    """The last lines that are no events, of what was appended to a log after `begin` bytes."""
    with log.open("rb") as stream:
        stream.seek(begin)
        text = (line.decode("utf-8", errors="replace").rstrip() for line in stream)
        return deque((line for line in text if line and not line.startswith("{")), _TAIL_LINES)
