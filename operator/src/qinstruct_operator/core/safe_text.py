"""Sanitize text from the cluster before it becomes part of a message. Pure.

Messages and log lines may contain anything; a status is printed to terminals and written as YAML.
"""


def one_line(text: str) -> str:
    """The text as one line: spaces for white space, `?` for every other control character."""
    return printable(" ".join(text.split()))


def printable(line: str) -> str:
    """The line with `?` for every character that is not printable; tabs stay."""
    return "".join(sign if sign.isprintable() or sign == "\t" else "?" for sign in line)
