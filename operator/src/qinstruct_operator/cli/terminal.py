"""Text that somebody else wrote, made harmless before a terminal sees it. Pure.

Names, messages and log lines of a cluster may hold escape sequences that retitle, recolour or
rewrite the screen; an event's fields may too, because JSON can spell any character.
"""

import re

from qinstruct_trainer.contract.events import Event

# Control sequences as ECMA-48 has them (CSI), and operating system commands (titles, links).
_SEQUENCE = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)")
_TAB_SIZE = 4


def harmless(text: str) -> str:
    """One line without sequences; every other control character becomes `?`.

    Of text that was overwritten by carriage returns (a progress bar) the last state is kept.
    """
    plain = _SEQUENCE.sub("", text).rstrip("\r\n")
    shown = plain.rpartition("\r")[2].expandtabs(_TAB_SIZE)
    return "".join(sign if sign.isprintable() else " " if sign.isspace() else "?" for sign in shown)


def harmless_event(event: Event) -> Event:
    """The event with all of its own text made harmless."""
    texts = {name: harmless(value) for name, value in event if isinstance(value, str)}
    return event.model_copy(update=texts)
