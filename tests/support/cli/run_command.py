"""Starts real `qinstruct run` processes, and finds the processes that they leave behind."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import yaml

from support.operator_documents import document

_SECONDS = 120  # until a test that hangs fails


@dataclass(frozen=True)
class Command:
    """One `qinstruct run`: its file, its workdir, its shared cache, and the run's name."""

    file: Path
    workdir: Path
    cache: Path
    name: str = "x"  # what `document` calls a run

    @property
    def folder(self) -> Path:
        """The run's own folder."""
        return self.workdir / self.name

    def start(self) -> subprocess.Popen[str]:
        """In the background, with standard output as a pipe."""
        arguments = ["run", str(self.file), "--workdir", str(self.workdir)]
        return subprocess.Popen(
            [sys.executable, "-m", "qinstruct_operator", *arguments, "--cache", str(self.cache)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self) -> tuple[int, str]:
        """To its end: exit code and everything it printed."""
        with self.start() as process:
            said, _ = process.communicate()
        return process.returncode, said

    def weights(self) -> str:
        """Digest of the exported weights."""
        (weights,) = (self.folder / "model").glob("*.safetensors")
        return sha256(weights.read_bytes()).hexdigest()


def write_spec(folder: Path, url: str, **spec: Any) -> Path:
    """A Tiny run on a served miniature of Q-Instruct; returns its file."""
    sources = {
        "q-instruct-labels": {"url": f"{url}/cleaned_labels.json"},
        "q-instruct-images": {"url": f"{url}/q-instruct-images.tar"},
    }
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "run.yaml"
    made = document(size="Tiny", **{"data": {"sources": sources}} | spec)
    file.write_text(yaml.safe_dump(made), "utf-8")
    return file


def read_until(process: subprocess.Popen[str], text: str) -> str:
    """Everything that the process prints up to the line with this text."""
    assert process.stdout is not None
    said = ""
    for line in process.stdout:
        said += line
        if text in line:
            return said
    raise AssertionError(f"{text!r} was never printed:\n{said}")


def processes_that_mention(text: str) -> list[int]:
    """Ids of the other live processes whose command line contains a text."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                command = (entry / "cmdline").read_bytes().decode(errors="replace")
            except OSError:
                continue
            if text in command:
                found.append(int(entry.name))
    return found


def wait_until(condition: Callable[[], bool]) -> None:
    """Poll until it holds."""
    deadline = time.monotonic() + _SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
