"""Words of YAML as kubectl reads them: `cluster/test_kubectl_yaml.py` asks a real one."""

import math

import pytest

from qinstruct_operator.kubectl_yaml import Value, plain_value

READ: dict[str, Value] = {
    # PyYAML: text, numbers to the base 60, dates and a null
    "y": True,
    "N": False,
    "1:30": "1:30",
    "190:20:30.15": "190:20:30.15",
    "2001-12-14": "2001-12-14",
    "=": "=",
    "<<": "<<",
    # numbers with an exponent, and those that are whole
    "1e5": 100_000,
    "2e-5": 2e-5,
    "1.0": 1,
    "-0.0": 0,
    "1e20": 1e20,
    "1e21": 1e21,
    ".5": 0.5,
    "5.": 5,
    "+.5e1": 5,
    ".e1": ".e1",
    "1e": "1e",
    "1e400": "1e400",
    "1e-999": 0,
    "1.2345678901234568e18": 1_234_567_890_123_456_800,
    # bases
    "017": 15,
    "0o17": 15,
    "-0O7": -7,
    "08": 8,
    "0x1F": 31,
    "0X1g": "0X1g",
    "0b11": 3,
    "0B2": "0B2",
    "0b-101": -5,
    "0o": "0o",
    # underscores
    "1_000": 1000,
    "_1": "_1",
    "-_1": -1,
    ".8_8": 0.88,
    "._8": "._8",
    ".8_": ".8_",
    # 64 bits
    "9223372036854775807": 2**63 - 1,
    "-9223372036854775808": -(2**63),
    "9223372036854775808": 2.0**63,
    "18446744073709551615": 2.0**64,
    "18446744073709551616": 2.0**64,
    "0xFFFFFFFFFFFFFFFF": 2.0**64,
    "+0xFFFFFFFFFFFFFFFF": "+0xFFFFFFFFFFFFFFFF",
    "0x1FFFFFFFFFFFFFFFF": "0x1FFFFFFFFFFFFFFFF",
    # words
    "": None,
    "~": None,
    "NULL": None,
    "nULL": "nULL",
    "on": True,
    "Off": False,
    "oN": "oN",
    "yEs": "yEs",
    "+": "+",
    ".": ".",
    "\u0661": "\u0661",  # a digit, though not of ours
    "1\u0661": "1\u0661",
}


@pytest.mark.parametrize(("word", "value"), READ.items(), ids=map(repr, READ))
def test_a_word_is_what_it_is_to_kubectl(word: str, value: Value) -> None:
    read = plain_value(word)

    assert (type(read), read) == (type(value), value)
    if isinstance(read, float) and isinstance(value, float):
        assert math.copysign(1, read) == math.copysign(1, value)


@pytest.mark.parametrize("word", [".inf", "+.Inf", "-.INF", ".nan", ".NaN"])
def test_a_number_that_json_has_not_is_refused(word: str) -> None:
    with pytest.raises(ValueError, match="is no finite number"):
        plain_value(word)


@pytest.mark.parametrize("word", [".iNF", "+.nan", "inf", "NaN"])
def test_what_only_looks_like_it_is_text(word: str) -> None:
    assert plain_value(word) == word


@pytest.mark.parametrize("digits", ["9", "0x", "0", "0b", "1_", "-0b"])
def test_endless_numbers_take_no_time(digits: str) -> None:
    word = digits + "1" * 250_000

    assert plain_value(word) == word
