"""Text that somebody else wrote, in a sentence of ours."""

import pytest

from qinstruct_trainer.contract.safe_text import one_line, printable


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("  two\n lines\t", "two lines"),
        ("bell\x07", "bell?"),
        ("\x1b[31mred", "?[31mred"),
        ("right-to-left \u202e", "right-to-left ?"),
        ("", ""),
    ],
)
def test_one_line(text: str, want: str) -> None:
    assert one_line(text) == want


def test_tabs_of_a_log_line_stay() -> None:
    assert printable("a\tb\x00c") == "a\tb?c"
