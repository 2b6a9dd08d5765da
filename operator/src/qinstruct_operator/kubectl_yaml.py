"""What an unquoted word of YAML is to kubectl: text, a number, a truth value or nothing. Pure.

kubectl reads YAML with a Go library that has habits of its own (sigs.k8s.io/yaml over
go.yaml.in/yaml/v2), and sends the server JSON. PyYAML makes something else of 1:30, 1e5, y, 08.
"""

import math
import re
from decimal import Decimal
from typing import Final

Value = str | int | float | bool | None

_WORDS: Final[dict[str, Value]] = {
    **dict.fromkeys(("y", "Y", "yes", "Yes", "YES", "on", "On", "ON"), True),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("n", "N", "no", "No", "NO", "off", "Off", "OFF"), False),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
}
_NOT_IN_JSON = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_MAY_BE_NUMBER: Final = tuple("+-.0123456789")
_SIGN: Final = r"(?P<sign>[-+]?)"
_INTEGERS: Final = (  # as Go's strconv.ParseInt finds the base, and one habit of the library
    (re.compile(_SIGN + r"(?P<digits>0|[1-9][0-9]{0,19})"), 10),
    (re.compile(_SIGN + r"0[oO]?(?P<digits>[0-7]+)"), 8),
    (re.compile(_SIGN + r"0[xX](?P<digits>[0-9a-fA-F]+)"), 16),
    (re.compile(_SIGN + r"0[bB](?P<digits>[01]+)"), 2),
    (re.compile(r"0b(?P<sign>[-+])(?P<digits>[01]+)"), 2),
)
_LOOSE_UNDERSCORE = re.compile(r"(?<![0-9])_|_(?![0-9])")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_INT64: Final = range(-(2**63), 2**63)
_WRITTEN_WITH_EXPONENT: Final = 1e21  # and above, by Go


def plain_value(word: str) -> Value:
    """The value of an unquoted word.

    Raises:
        ValueError: it is infinite or not a number, of which JSON has neither.
    """
    if word in _WORDS:
        return _WORDS[word]
    if _NOT_IN_JSON.fullmatch(word):
        raise ValueError(f"{word} is no finite number")
    if not word.startswith(_MAY_BE_NUMBER):
        return word
    if word.startswith(".") and _LOOSE_UNDERSCORE.search(word):
        return word
    digits = word.replace("_", "")
    whole = _integer(digits)
    if whole is not None:
        return whole if whole in _INT64 else float(whole)
    value = float(digits) if _FLOAT.fullmatch(digits) else math.inf
    return _json_number(value) if math.isfinite(value) else word


def _json_number(value: float) -> int | float:
    """A finite number as the server reads it: Go writes 1.0 and 1e5 without a point."""
    if not value.is_integer() or abs(value) >= _WRITTEN_WITH_EXPONENT:
        return value
    whole = int(Decimal(repr(value)))  # the shortest digits and then zeros, as Go writes them
    return whole if whole in _INT64 else value


def _integer(digits: str) -> int | None:
    """A whole number that 64 bits can hold, a signed one in two's complement."""
    for pattern, base in _INTEGERS:
        if match := pattern.fullmatch(digits):
            whole = int(match["sign"] + match["digits"], base)
            return whole if whole in _INT64 or (not match["sign"] and whole < 2**64) else None
    return None
