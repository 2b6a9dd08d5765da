"""Start real training processes, watch them, kill them, read what they leave.

They are forks of a server that has imported what training needs: the imports are half of the CPU
time of a short run. From its first line on each is the process that a training pod starts.
"""

import hashlib
import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import NoReturn

from qinstruct_trainer import torchrun
from qinstruct_trainer.__main__ import end_process
from qinstruct_trainer.contract import output_files
from qinstruct_trainer.contract.config import RunConfig
from qinstruct_trainer.contract.events import TERMINATION_LOG_ENV, Event, Failed, Step, parse_line
from qinstruct_trainer.contract.launch import train_command
from qinstruct_trainer.train.metrics.metrics_file import read_steps
from support.training.held_output import HELD_OUTPUT, hold_output

Main = Callable[[Sequence[str]], int]
"""What is called with the arguments of torchrun, and gives the exit code."""

_TIMEOUT = 300.0
_SERVER = get_context("forkserver")
_SERVER.set_forkserver_preload(["torch.distributed.run", "qinstruct_trainer.train.run"])


@dataclass(frozen=True)
class Ended:
    """A training that ended."""

    code: int
    stdout: str
    stderr: str

    @property
    def events(self) -> list[Event]:
        return [event for line in self.stdout.splitlines() if (event := parse_line(line, None))]

    @property
    def failures(self) -> list[Failed]:
        return [event for event in self.events if isinstance(event, Failed)]


class Training:
    """A process that runs torchrun as `train_command` says; it is used as a `subprocess.Popen`."""

    def __init__(
        self,
        main: Main,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        streams: tuple[Path, Path],
        largest_file: int | None,
    ) -> None:
        self._process = _SERVER.Process(
            target=_become_torchrun, args=(main, arguments, environment, streams, largest_file)
        )
        self._process.start()
        assert self._process.pid
        self.pid = self._process.pid

    def poll(self) -> int | None:
        """Its exit code; a signal that has killed it, negative; None while it lives."""
        return self._process.exitcode

    def wait(self, timeout: float) -> int:
        """Its exit code, once it has ended."""
        self._process.join(timeout)
        code = self.poll()
        assert code is not None, f"it lives after {timeout:g} seconds"
        return code

    def send_signal(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Send SIGKILL, unless it has ended."""
        self.send_signal(signal.SIGKILL)


def start(
    config: RunConfig,
    num_processes: int | None = None,
    largest_file: int | None = None,
    *,
    gpu: str = "",
    main: Main = torchrun.main,
) -> Training:
    """Start torchrun, output to files in the run's folder.

    `largest_file` KiB is where every write fails, as on a full disk. `gpu` is the number of the
    one to use; none without. `main` takes the place of our torchrun's, and can be pickled.
    """
    config.output.mkdir(parents=True, exist_ok=True)
    path = config.output / output_files.RUN_CONFIG
    path.write_text(config.to_json())
    environment = os.environ | {
        "OMP_NUM_THREADS": "1",
        "CUDA_VISIBLE_DEVICES": gpu,
        TERMINATION_LOG_ENV: str(config.output / "termination"),
    }
    streams = _stdout(config), _stderr(config)
    for stream in streams:  # of an earlier start
        stream.write_text("")
    _, _, _, *arguments = train_command(sys.executable, path, num_processes or config.world_size)
    return Training(main, arguments, environment, streams, largest_file)


def end(config: RunConfig, process: Training) -> Ended:
    """Wait for the end."""
    try:
        code = process.wait(_TIMEOUT)
    finally:
        process.kill()
    return Ended(code, _stdout(config).read_text(), _stderr(config).read_text())


def train(
    config: RunConfig, num_processes: int | None = None, largest_file: int | None = None
) -> Ended:
    """Start, and wait for the end."""
    return end(config, start(config, num_processes, largest_file))


def wait_until(process: Training, condition: Callable[[], bool]) -> bool:
    """Poll until the condition holds; False if the process ended before."""
    deadline = time.monotonic() + _TIMEOUT
    while not condition():
        if process.poll() is not None:
            return False
        assert time.monotonic() < deadline, "the condition never held"
        time.sleep(0.002)
    return True


def signal_rank(process: Training, rank: int, number: signal.Signals) -> None:
    """Send one rank a signal; nothing if it has already ended."""
    for pid in descendants(process.pid):
        with suppress(OSError):  # it has ended
            if Path(f"/proc/{pid}/comm").read_text() == f"rank {rank}\n":
                os.kill(pid, number)


def descendants(pid: int) -> list[int]:
    """The processes below one that live: a supervisor's launcher, a launcher's ranks."""
    found: list[int] = []
    with suppress(OSError):  # it has ended
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            found += [int(child), *descendants(int(child))]
    return found


def printed(config: RunConfig, text: str) -> bool:
    """Whether stdout has the text by now."""
    return text in _stdout(config).read_text()


def steps(config: RunConfig) -> list[Step]:
    """The step events that the run's metrics file holds."""
    return read_steps(config.output / output_files.METRICS)


def losses(config: RunConfig) -> list[float]:
    return [step.loss for step in steps(config)]


def weights(config: RunConfig) -> str:
    """Digest of the exported weights."""
    content = (config.output / "model" / "model.safetensors").read_bytes()
    return hashlib.sha256(content).hexdigest()


def _become_torchrun(
    main: Main,
    arguments: Sequence[str],
    environment: Mapping[str, str],
    streams: tuple[Path, Path],
    largest_file: int | None,
) -> NoReturn:
    """In the fork: what the interpreter does with `python -m qinstruct_trainer.torchrun`."""
    os.environ.clear()
    os.environ.update(environment)
    if HELD_OUTPUT in environment:
        hold_output()
    for stream, path in zip((sys.stdout, sys.stderr), streams, strict=True):
        with path.open("a") as file:
            os.dup2(file.fileno(), stream.fileno())
    if largest_file is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file * 1024,) * 2)
    end_process(main(arguments))


def _stdout(config: RunConfig) -> Path:
    return config.output / "stdout"


def _stderr(config: RunConfig) -> Path:
    return config.output / "stderr"
