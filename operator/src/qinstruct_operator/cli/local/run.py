"""Local mode: the whole line as processes under one folder, the same as in a cluster.

Needs no cluster. Prep and training are the very commands that the pods run, told by the
same two configs; their event lines drive the view, and their exit codes are ours.
"""

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from qinstruct_operator.cli.local.folder import RunFolder
from qinstruct_operator.cli.local.process import StopRequests, run_child
from qinstruct_operator.cli.show_events import View
from qinstruct_operator.core.plan.make import Plan
from qinstruct_trainer.contract.errors import EXIT_OK, EXIT_STOPPED, ConfigError
from qinstruct_trainer.contract.events import TERMINATION_LOG_ENV, Event, Failed, Step

_SIGNALLED = frozenset({128 + signal.SIGINT, 128 + signal.SIGTERM, 128 + signal.SIGKILL})
_DOING = {"prep": "preparing the data", "train": "training"}
_TAIL_LINES = 15
_NVIDIA_SMI_SECONDS = 20  # a wedged driver can hang it for ever
_TRAINER_MODULES = ("torch", "transformers", "deepspeed")


def check_machine(plan: Plan) -> None:
    """Refuse what this machine cannot run.

    Raises:
        ConfigError: the trainer is not installed, or there are fewer GPUs than processes.
    """
    missing = [name for name in _TRAINER_MODULES if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigError(
            f"the trainer is not installed here ({', '.join(missing)} missing); "
            "install it with: pip install 'qinstruct[trainer]'"
        )
    if plan.run_config.size == "Tiny":
        return
    found = _count_gpus()
    if found < plan.num_processes:
        raise ConfigError(
            f"spec.size {plan.run_config.size} needs {plan.num_processes} NVIDIA GPUs and this "
            f"machine has {found}; render it and apply it to a cluster that has them, or try the "
            "line here with size: Tiny"
        )


@dataclass
class LocalRun:
    """One walk through prep and training.

    Attributes:
        goes_on: The command that goes on after a stop, for the message that says so.
        last_step: The newest step event, or None before the first.
        failed: The event of a child that failed, or None.
    """

    plan: Plan
    folder: RunFolder
    view: View
    goes_on: str
    requests: StopRequests
    last_step: Step | None = field(default=None, init=False)
    failed: Failed | None = field(default=None, init=False)

    def walk(self) -> int:
        """Prepare, train, export and evaluate; returns the exit code of what ended the run."""
        trainer = [sys.executable, "-m", "qinstruct_trainer"]
        torchrun = [
            *(sys.executable, "-m", "qinstruct_trainer.torchrun"),
            *("--nproc-per-node", str(self.plan.num_processes), "-m", "qinstruct_trainer"),
        ]
        config = self.folder.prep_config
        code = self._run("prep", [*trainer, "prep", "--config", str(config)])
        if code == EXIT_OK:
            config = self.folder.run_config
            code = self._run("train", [*torchrun, "train", "--config", str(config)])
        return code

    def _run(self, name: str, command: Sequence[str]) -> int:
        if self.requests.count:  # it came between two processes
            return self._stopped()
        # Both take seconds to load their libraries before they have anything to say.
        self.view.note(f"{_DOING[name]} (log: {self.folder.log(name)})")
        self.failed = None
        begin = _size(self.folder.log(name))
        code = run_child(
            command,
            environment=self._environment(name),
            log=self.folder.log(name),
            requests=self.requests,
            on_event=self._on_event,
            on_stop=lambda: self._on_stop(name),
        )
        killed = self.requests.count and code in _SIGNALLED
        if code == EXIT_STOPPED or killed:
            return self._stopped()
        if code != EXIT_OK:
            self._explain(name, code, begin)
        return code

    def _environment(self, name: str) -> dict[str, str]:
        own = {
            "OMP_NUM_THREADS": "1",  # torchrun's own default: the processes share the cores
            "PYTHONUNBUFFERED": "1",
            TERMINATION_LOG_ENV: str(self.folder.last_word(name)),
        }
        if self.plan.run_config.size == "Tiny":
            own["CUDA_VISIBLE_DEVICES"] = ""  # the plan is for CPUs: fp32, two processes
        return os.environ | own

    def _on_event(self, event: Event) -> None:
        if isinstance(event, Step):
            self.last_step = event
        if isinstance(event, Failed):
            self.failed = event
        self.view.show(event)

    def _on_stop(self, name: str) -> None:
        what = "saving a checkpoint" if name == "train" else "stopping"
        self.view.note(f"{what} ... (Ctrl-C again to kill)")

    def _stopped(self) -> int:
        at = (
            f" after step {self.last_step.step} of {self.last_step.steps}" if self.last_step else ""
        )
        self.view.note(f"stopped{at}; go on with: {self.goes_on}")
        return EXIT_STOPPED

    def _explain(self, name: str, code: int, begin: int) -> None:
        """Say why a child failed: its own sentence, or else the end of what it printed."""
        log = self.folder.log(name)
        if self.failed is not None:
            self.view.note(f"{name} failed: {self.failed.message}")
        else:
            self.view.note(f"{name} ended with exit code {code} and these last lines:")
            for line in _tail(log, begin):
                self.view.note(f"  {line}")
        self.view.note(f"the whole log: {log}")


def _count_gpus() -> int:
    """GPUs that the driver lists; 0 without a driver."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return 0
    try:
        listing = subprocess.run(
            [program, "-L"], capture_output=True, text=True, timeout=_NVIDIA_SMI_SECONDS, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return 0
    return sum(line.startswith("GPU ") for line in listing.stdout.splitlines())


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
