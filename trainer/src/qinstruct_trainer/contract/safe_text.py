"""Sanitize text that somebody else wrote before it becomes part of a message. Pure.

Names in data, answers of servers, messages of a cluster and log lines may contain anything; what
is made of them is printed to terminals and logs, and written as YAML.
"""


def one_line(text: str) -> str:
    """The text as one line: spaces for white space, `?` for every other control character."""
    return printable(" ".join(text.split()))


def printable(line: str) -> str:
    """The line with `?` for every character that is not printable; tabs stay."""
    return "".join(sign if sign.isprintable() or sign == "\t" else "?" for sign in line)


def escaped(text: str) -> str:
    """The text as one line: line ends, control and format characters as Python writes them."""
    return "".join(
        sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text
    )
