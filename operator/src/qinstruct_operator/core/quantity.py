"""Kubernetes' quantities as exact numbers: `560Gi`, `500m`, `1e3`. Pure.

The official client has a parser too, but the core may not know it, and importing it takes longer
than a whole `qinstruct plan`.
"""

import re
from fractions import Fraction
from typing import Final

_QUANTITY: Final = re.compile(
    r"(?P<number>[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+))"
    r"(?:(?P<suffix>[numkMGTPE]|[KMGTPE]i)|[eE](?P<exponent>[+-]?[0-9]{1,2}))?"
)
_SUFFIXES: Final = {
    "n": Fraction(1, 10**9),
    "u": Fraction(1, 10**6),
    "m": Fraction(1, 10**3),
    "k": Fraction(10**3),
    **{letter: Fraction(1000**power) for power, letter in enumerate("MGTPE", start=2)},
    **{f"{letter}i": Fraction(1024**power) for power, letter in enumerate("KMGTPE", start=1)},
}
_MAX_CHARS: Final = 64  # far more than any quantity; bounds the work on what is not trusted


def parse_quantity(text: str) -> Fraction | None:
    """The number that a quantity stands for, or None where the text is not one."""
    found = _QUANTITY.fullmatch(text) if len(text) <= _MAX_CHARS else None
    if found is None:
        return None
    number = Fraction(found["number"])
    if found["suffix"]:
        return number * _SUFFIXES[found["suffix"]]
    return number * Fraction(10) ** int(found["exponent"] or 0)


def binary_text(amount: Fraction) -> str:
    """Bytes as memory is asked for, rounded down: `560Gi`, `512Mi`, `0`."""
    for unit in ("Ti", "Gi", "Mi", "Ki"):
        whole = amount / _SUFFIXES[unit]
        if whole >= 10 or (whole >= 1 and whole.denominator == 1):
            return f"{int(whole)}{unit}"
    return f"{int(amount)}"
