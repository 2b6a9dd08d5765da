"""Text of others, before a terminal sees it."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qinstruct_operator.cli.terminal import sanitize, sanitize_event, sanitize_lines, sanitized_text
from qinstruct_trainer.contract.events import Failed


@given(st.text())
def test_sanitized_text_is_printable_and_stays_so(text: str) -> None:
    assert sanitize(text).isprintable()
    assert sanitize(sanitize(text)) == sanitize(text)


@given(st.text(st.characters(codec="ascii", exclude_categories=["Cc"])))
def test_plain_text_is_left_alone(text: str) -> None:
    assert sanitize(text) == text


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1b[", "?["),
        ("\x9b31mred", "?31mred"),
        ("10%\r20%\r\n", "20%"),
        ("a\tb", "a   b"),
        ("bell\x07 back\x08", "bell? back?"),
        ("no\u00a0break", "no break"),
        ("right\u202eleft\u2066", "right?left?"),
    ],
)
def test_what_is_removed_or_replaced(text: str, want: str) -> None:
    assert sanitize(text) == want


def test_lines_are_sanitized_each() -> None:
    assert sanitize_lines("\x1b[31mone\r\ntwo\x07\n\nfour") == "one\ntwo?\n\nfour"
    assert sanitize_lines("") == ""


def test_texts_of_an_event_are_sanitized() -> None:
    event = Failed(reason="Bad\x07", message="\x1b[31mred", exit_code=65, time=1)
    assert sanitize_event(event) == Failed(reason="Bad?", message="red", exit_code=65, time=1)


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ({"metadata": {"name": "\x1b[31mred"}}, "red"),
        ({"metadata": {"name": 3}}, ""),
        ({"metadata": []}, ""),
        ({}, ""),
    ],
)
def test_text_of_an_object(raw: dict[str, Any], text: str) -> None:
    assert sanitized_text(raw, "metadata", "name") == text
