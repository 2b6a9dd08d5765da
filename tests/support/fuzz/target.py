"""A fuzz target as the tests see it: its kept inputs, its process, and the search for new ones."""

import hashlib
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest
from hypothesis import HealthCheck, Verbosity, given, seed, settings
from hypothesis import strategies as st

from support import matrix
from support.fuzz.verdict import Verdict

TESTS: Final = Path(__file__).parents[2]
CORPUS: Final = TESTS / "fuzz" / "corpus"
FOUND: Final = TESTS.parent / "build" / "fuzz"
SECONDS: Final = float(os.environ.get("QINSTRUCT_FUZZ_SECONDS", "60" if matrix.IS_WHOLE else "0"))
_BATCH: Final = 100  # so many between two looks at the clock
_ONE_THREAD: Final = {
    **{"MALLOC_ARENA_MAX": "1", "RAYON_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
    **{"TOKENIZERS_PARALLELISM": "false", "PYTHONPATH": str(TESTS)},
}


def kept(target: str) -> list[Path]:
    """The inputs of the repository: true formats, and what attacks and searches have found."""
    return sorted(path for path in (CORPUS / target).iterdir())


@dataclass
class Sandbox:
    """A process that judges inputs; another one begins where one has died."""

    target: str
    outcomes: Counter[str] = field(default_factory=Counter)
    _process: subprocess.Popen[bytes] | None = None

    def judge(self, content: bytes) -> Verdict:
        """How the target takes it."""
        self._process = self._process or self._start()
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(len(content).to_bytes(8) + content)
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if answer:
            verdict = Verdict.model_validate_json(answer)
            self.outcomes[verdict.refused[0] if verdict.refused else verdict.value] += 1
            return verdict
        said = self.close()
        # It would take minutes to make such an input smaller.
        pytest.fail(f"{self.target}: {write_found(self.target, content)} ends the process:\n{said}")

    def close(self) -> str:
        """End the process; the end of what it and its libraries have complained of."""
        process, self._process = self._process, None
        if process is None:
            return ""
        assert process.stdin
        assert process.stdout
        process.stdin.close()
        process.stdout.close()
        process.wait()
        return (FOUND / f"{self.target}.log").read_text("utf-8", "replace")[-4000:]

    def _start(self) -> subprocess.Popen[bytes]:
        command = (sys.executable, "-m", "support.fuzz.child", self.target, kept(self.target)[0])
        FOUND.mkdir(parents=True, exist_ok=True)
        with (FOUND / f"{self.target}.log").open("wb") as log:
            return subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=os.environ | _ONE_THREAD,
            )


@contextmanager
def sandbox(target: str) -> Iterator[Sandbox]:
    """A process for the inputs of a target."""
    box = Sandbox(target)
    try:
        yield box
    finally:
        box.close()


class _Input(bytes):
    """Bytes that a report does not show: they are written to a file."""

    def __repr__(self) -> str:
        return f"{len(self)} bytes"


def search(box: Sandbox, inputs: st.SearchStrategy[bytes]) -> None:
    """Try a small sample, or more until the time is over; a seed draws the same ones."""

    broken: list[bytes] = []

    def check(content: bytes) -> None:
        verdict = box.judge(content)
        if verdict.broken:
            broken.append(content)
        assert not verdict.broken, verdict.broken

    started = time.monotonic()
    batch = matrix.SEED
    while True:
        run = settings(
            max_examples=_BATCH,
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            verbosity=Verbosity.quiet,
        )(given(inputs.map(_Input))(check))
        try:
            seed(batch)(run)()
        except AssertionError as error:
            error.add_note(f"the input: {write_found(box.target, broken[-1])}")  # the smallest
            raise
        batch += 1
        if time.monotonic() - started >= SECONDS:
            return


def write_found(target: str, content: bytes) -> Path:
    """Where an input was written that must be looked at, and kept in the corpus."""
    path = FOUND / target / hashlib.sha256(content).hexdigest()[:12]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path
