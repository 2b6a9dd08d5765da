"""Quantities: equal to the official client's, and readable again."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kubernetes.utils.quantity import parse_quantity as official_quantity

from qinstruct_operator.core.quantity import binary_text, parse_quantity

SUFFIXES = ("", "n", "u", "m", "k", "M", "G", "T", "P", "E", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei")


@given(st.decimals(0, 10**6, places=3), st.sampled_from(SUFFIXES))
def test_quantities_are_those_of_the_official_client(number: object, suffix: str) -> None:
    text = f"{number}{suffix}"
    official = official_quantity(text)  # type: ignore[no-untyped-call]  # the client has no hints
    assert parse_quantity(text) == Fraction(official)


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("1e3", 1000),
        ("1E3", 1000),
        ("2E", 2 * 10**18),
        ("-1.5e-1", Fraction(-3, 20)),
        (".5", 0.5),
        ("0" * 63 + "7", 7),
    ],
)
def test_quantities_in_other_spellings(text: str, want: Fraction) -> None:
    assert parse_quantity(text) == want


@pytest.mark.parametrize("text", ["", "Gi", "1 Gi", "1K", "1e", "1e999", "0x10", "1" * 65, "1GiB"])
def test_what_is_no_quantity(text: str) -> None:
    assert parse_quantity(text) is None


@pytest.mark.parametrize(
    ("amount", "want"),
    [
        ("560Gi", "560Gi"),
        ("1126400Mi", "1100Gi"),
        ("1Ti", "1Ti"),
        ("12", "12"),
        ("1000Ki", "1000Ki"),
    ],
)
def test_memory_in_binary_units(amount: str, want: str) -> None:
    parsed = parse_quantity(amount)
    assert parsed is not None
    assert binary_text(parsed) == want
