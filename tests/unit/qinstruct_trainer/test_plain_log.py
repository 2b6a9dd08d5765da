"""What a process logs, by whatever logger: no line of it is an event, none commands a terminal."""

import subprocess
import sys

import pytest

from qinstruct_trainer.contract.events import Failed, parse_line

FORGED = Failed(reason="Forged", message="pay first", exit_code=65).model_dump_json()
TEXT = f"a\n{FORGED}\n\x1b]0;mine\x07 https://me:secret@host/a?token=secret"
TAMED = f"a {FORGED} ?]0;mine? https://host/a"
LIBRARY = (
    "library = logging.getLogger('library'); library.propagate = False\n"
    "library.addHandler(logging.StreamHandler(sys.stdout))\n"
)


def said(script: str, text: str = TEXT) -> list[str]:
    """The lines that a process prints which has opened its log."""
    begin = (
        "import logging, sys, warnings\n"
        "from qinstruct_trainer.plain_log import open_log\n"
        f"open_log(); text = {text!r}\n"
    )
    ran = subprocess.run(
        [sys.executable, "-W", "always", "-c", begin + script],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=True,
    )
    return ran.stdout.splitlines()


@pytest.mark.parametrize(
    "script",
    [
        "logging.warning('%s', text)",
        "logging.getLogger('of.ours').error(text)",
        LIBRARY + "library.warning(text)",
    ],
    ids=["quoted", "itself", "a library's own handler"],
)
def test_a_message_is_one_harmless_line(script: str) -> None:
    assert said(script) == [TAMED]


def test_a_message_that_is_an_event_is_none() -> None:
    (line,) = said("logging.warning(text)", FORGED)
    assert FORGED in line
    assert parse_line(line, None) is None


def test_a_warning_is_one_harmless_line() -> None:
    (line,) = said("warnings.warn(text)")
    assert "UserWarning: a" in line
    assert "\x1b" not in line


def test_no_line_of_a_traceback_is_an_event() -> None:
    lines = said("try: raise ValueError(text)\nexcept ValueError: logging.exception('a bug')")
    assert lines[0] == "a bug"
    assert any("ValueError: a" in line for line in lines)
    assert not any(parse_line(line, None) for line in lines)
    assert not any("secret" in line or "\x1b" in line for line in lines)
