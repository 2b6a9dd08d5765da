"""Text that somebody else wrote, made fit for a sentence of ours. Pure.

Messages and log lines of a cluster may hold anything; a status is printed to terminals and
written as YAML.
"""


def one_line(text: str) -> str:
    """The text as one line: spaces for white space, `?` for every other control character."""
    return printable(" ".join(text.split()))


def printable(line: str) -> str:
    """The line with `?` for whatever a terminal or YAML would trip over; tabs stay."""
    return "".join(sign if sign.isprintable() or sign == "\t" else "?" for sign in line)
