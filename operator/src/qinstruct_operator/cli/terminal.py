"""Sanitize untrusted text before it is printed to a terminal. Pure.

Names, messages and log lines of a cluster may hold escape sequences that retitle, recolour or
rewrite the screen; an event's fields may too, because JSON can spell any character.
"""

import re

from qinstruct_operator.core.untyped_json import Raw, text
from qinstruct_trainer.contract.events import Event
from qinstruct_trainer.contract.safe_text import printable

# Control sequences as ECMA-48 has them (CSI), and operating system commands (titles, links).
_SEQUENCE = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)")
_SPACE = re.compile(r"\s")
_TAB_SIZE = 4


def sanitize(line: str) -> str:
    """The line without escape sequences; every other control character becomes `?`.

    Of text that was overwritten by carriage returns (a progress bar) the last state is kept.
    """
    plain = _SEQUENCE.sub("", line).rstrip("\r\n")
    shown = plain.rpartition("\r")[2].expandtabs(_TAB_SIZE)
    return printable(_SPACE.sub(" ", shown))


def sanitize_lines(text: str) -> str:
    """The text with each of its lines sanitized."""
    return "\n".join(sanitize(line) for line in text.splitlines())


def sanitize_event(event: Event) -> Event:
    """The event with each of its texts sanitized."""
    texts = {name: sanitize(value) for name, value in event if isinstance(value, str)}
    return event.model_copy(update=texts)


def sanitized_text(raw: Raw, *path: str) -> str:
    """The text at a path of an object, sanitized; empty where there is none."""
    return sanitize(text(raw, *path))
