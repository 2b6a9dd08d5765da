"""Foreign text made fit for a sentence and a terminal."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qinstruct_operator.core.text import one_line, printable


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("  two \n\t words ", "two words"),
        ("red \x1b[31m", "red ?[31m"),
        ("turned \u202e around", "turned ? around"),
        ("ünclear 火", "ünclear 火"),
    ],
)
def test_a_text_becomes_one_line(text: str, line: str) -> None:
    assert one_line(text) == line


def test_a_tab_stays_in_a_line() -> None:
    assert printable("a\tb\x00") == "a\tb?"


@given(st.text())
def test_nothing_is_left_that_a_terminal_would_obey(text: str) -> None:
    assert one_line(text).isprintable()
    assert len(printable(text)) == len(text)
