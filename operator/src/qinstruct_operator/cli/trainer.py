"""Runs a command of the trainer that answers with one JSON document: for commands on its data."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from qinstruct_operator.cli.terminal import sanitize_event, sanitize_lines
from qinstruct_trainer.contract.errors import EXIT_SOFTWARE
from qinstruct_trainer.contract.events import TERMINATION_LOG_ENV, Event, Failed, parse_line
from qinstruct_trainer.contract.safe_text import escaped

Document = TypeVar("Document", bound=BaseModel)


class TrainerFailed(Exception):  # noqa: N818 - it carries an exit code, as `SystemExit` does
    """The trainer has failed: its sentence, and its exit code."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def ask_trainer(
    command: Sequence[str],
    document: type[Document],
    on_event: Callable[[Event], None] = lambda _: None,
) -> Document:
    """Run a command to its end; its document.

    Args:
        command: What to start.
        document: What it prints in its last line.
        on_event: Takes the events that it prints before.

    Raises:
        TrainerFailed: it said why it cannot, or ended without its document.
    """
    found = failed = None
    with (
        tempfile.TemporaryFile() as errors,
        subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=os.environ | {TERMINATION_LOG_ENV: os.devnull, "PYTHONUNBUFFERED": "1"},
        ) as child,
    ):
        assert child.stdout is not None  # for the type checker: stdout=PIPE
        for raw in child.stdout:
            line = raw.decode("utf-8", "replace")
            event = parse_line(line, None)
            if isinstance(event, Failed):
                failed = event
            elif event is not None:
                on_event(sanitize_event(event))
            else:
                found = _parsed(line, document) or found
        code = child.wait()
        if failed is not None:
            raise TrainerFailed(escaped(failed.message), failed.exit_code)
        if code or found is None:
            errors.seek(0)
            said = sanitize_lines(errors.read().decode("utf-8", "replace"))
            raise TrainerFailed(f"{_name(command)} ended with {code}:\n{said}", EXIT_SOFTWARE)
    return found


def interpreter() -> str:
    """The Python that has the trainer: ours."""
    return sys.executable


def _name(command: Sequence[str]) -> str:
    return " ".join(command[1:5])


def _parsed(line: str, document: type[Document]) -> Document | None:
    try:
        return document.model_validate_json(line)
    except ValidationError:
        return None
