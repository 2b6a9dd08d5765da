"""Print lines of a pod's log: the trainer's events as text, or each line as the pod printed it."""

import sys
from typing import BinaryIO, Protocol

from rich.console import Console

from qinstruct_operator.cli.show_events import View, open_view
from qinstruct_operator.cli.terminal import sanitize, sanitize_event
from qinstruct_trainer.contract.events import Complete, Event, Failed, StoppedEvent, parse_line


class LogPrinter(Protocol):
    """Where lines of a log go."""

    def line(self, text: str, writer: str | None) -> None:
        """Print one line of the log of a pod whose events carry this word."""

    def note(self, text: str) -> None:
        """Print one sentence of ours."""

    def close(self) -> None:
        """Leave the terminal as it was."""


def open_printer(console: Console, *, raw: bool) -> LogPrinter:
    """How to print a log on this console's stream."""
    if raw:
        return RawPrinter(sys.stdout.buffer, is_terminal=console.is_terminal)
    return TextPrinter(open_view(console))


class RawPrinter:
    """Lines as they are, for another program; sanitized on a terminal."""

    def __init__(self, stream: BinaryIO, *, is_terminal: bool) -> None:
        self._stream = stream
        self._is_terminal = is_terminal

    def line(self, text: str, writer: str | None) -> None:
        """Write the line at once."""
        shown = sanitize(text) if self._is_terminal else text
        self._stream.write(shown.encode("utf-8", "replace") + b"\n")
        self._stream.flush()

    def note(self, text: str) -> None:
        """Print it on stderr: stdout is for the log alone."""
        sys.stderr.write(f"qinstruct: {text}\n")

    def close(self) -> None:
        """Nothing to restore."""


class TextPrinter:
    """Events as bars and sentences, other lines as they are but sanitized."""

    def __init__(self, view: View) -> None:
        self._view = view

    def line(self, text: str, writer: str | None) -> None:
        """Draw the event on the line, or the line."""
        event = parse_line(text, writer)
        if event is None:
            self._view.note(sanitize(text))
            return
        try:
            self._show(sanitize_event(event))
        except (OverflowError, ValueError):  # numbers too large to be formatted
            self._view.note(sanitize(text))

    def note(self, text: str) -> None:
        """Print it among the lines."""
        self._view.note(text)

    def close(self) -> None:
        """Stop drawing."""
        self._view.close()

    def _show(self, event: Event) -> None:
        match event:
            case Failed():
                self._view.note(f"failed ({event.reason}): {event.message}")
            case StoppedEvent():
                self._view.note(f"stopped after step {event.step} of {event.steps}")
            case Complete():
                self._view.note(f"complete: the model is in {event.model}")
            case _:
                self._view.show(event)
