"""The log of this process: whatever a message quotes, each line is harmless and no event.

Names in data and answers of servers reach the log through our messages and those of libraries.
"""

import logging
import sys
import warnings
from types import TracebackType

from qinstruct_trainer.contract.events import plain_line
from qinstruct_trainer.contract.safe_text import printable
from qinstruct_trainer.contract.urls import hide_secrets


def open_log() -> None:
    """Log to stderr; libraries that have handlers of their own get harmless messages, too."""
    logging.setLogRecordFactory(_Record)
    warnings.formatwarning = _format_warning
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Formatter("%(message)s"))
    logging.basicConfig(handlers=[handler])


class _Record(logging.LogRecord):
    def getMessage(self) -> str:  # noqa: N802 - logging's name
        return plain_line(hide_secrets(super().getMessage()))


class _Formatter(logging.Formatter):
    def formatException(  # noqa: N802 - logging's name
        self,
        ei: tuple[type[BaseException], BaseException, TracebackType | None]
        | tuple[None, None, None],
    ) -> str:
        """The traceback, indented: an exception's text may have lines like those of events."""
        lines = hide_secrets(super().formatException(ei)).split("\n")
        return "\n".join(f"  {printable(line)}" for line in lines)


def _format_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    line: str | None = None,
) -> str:
    return plain_line(f"{filename}:{lineno}: {category.__name__}: {message}") + "\n"
