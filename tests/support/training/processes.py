"""Start real training processes, watch them, kill them, read what they leave."""

import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from qinstruct_trainer.contract import output_files
from qinstruct_trainer.contract.config import RunConfig
from qinstruct_trainer.contract.events import TERMINATION_LOG_ENV, Event, Failed, Step, parse_line
from qinstruct_trainer.contract.launch import train_command
from qinstruct_trainer.train.metrics.metrics_file import read_steps

_TIMEOUT = 300.0


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


def start(
    config: RunConfig,
    num_processes: int | None = None,
    largest_file: int | None = None,
    *,
    gpu: str = "",
    instead: Sequence[str] = (),
) -> subprocess.Popen[str]:
    """Start torchrun, output to files in the run's folder.

    `largest_file` KiB is where every write fails, as on a full disk. `gpu` is the number of the
    one to use; none without. `instead` is a program in the place of our torchrun.
    """
    config.output.mkdir(parents=True, exist_ok=True)
    path = config.output / output_files.RUN_CONFIG
    path.write_text(config.to_json())
    environment = os.environ | {
        "OMP_NUM_THREADS": "1",
        "CUDA_VISIBLE_DEVICES": gpu,
        TERMINATION_LOG_ENV: str(config.output / "termination"),
    }
    command = train_command(sys.executable, path, num_processes or config.world_size)
    if instead:
        command = [sys.executable, *instead, *command[3:]]
    if largest_file is not None:
        command = ["bash", "-c", f'ulimit -f {largest_file}; exec "$@"', "bash", *command]
    with _stdout(config).open("w") as out, _stderr(config).open("w") as err:
        return subprocess.Popen(command, stdout=out, stderr=err, env=environment, text=True)


def end(config: RunConfig, process: subprocess.Popen[str]) -> Ended:
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


def wait_until(process: subprocess.Popen[str], condition: Callable[[], bool]) -> bool:
    """Poll until the condition holds; False if the process ended before."""
    deadline = time.monotonic() + _TIMEOUT
    while not condition():
        if process.poll() is not None:
            return False
        assert time.monotonic() < deadline, "the condition never held"
        time.sleep(0.002)
    return True


def signal_rank(process: subprocess.Popen[str], rank: int, number: signal.Signals) -> None:
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


def _stdout(config: RunConfig) -> Path:
    return config.output / "stdout"


def _stderr(config: RunConfig) -> Path:
    return config.output / "stderr"
