"""Kubernetes' quantities as exact numbers."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qinstruct_operator.core.quantity import binary_text, parse_quantity


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0", 0),
        ("12", 12),
        ("-3", -3),
        (".5", Fraction(1, 2)),
        ("500m", Fraction(1, 2)),
        ("100n", Fraction(1, 10**7)),
        ("1k", 1000),
        ("1Ki", 1024),
        ("560Gi", 560 * 1024**3),
        ("2T", 2 * 10**12),
        ("1e3", 1000),
        ("1E", 10**18),
        ("1E-2", Fraction(1, 100)),
    ],
)
def test_a_quantity_is_the_number_that_kubernetes_reads(text: str, number: int | Fraction) -> None:
    assert parse_quantity(text) == number


@pytest.mark.parametrize(
    "text", ["", "Gi", "1 Gi", "1gi", "1GiB", "1e3Gi", "1e100", "much", "9" * 65]
)
def test_anything_else_is_no_quantity(text: str) -> None:
    assert parse_quantity(text) is None


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (0, "0"),
        (1023, "1023"),
        (1024, "1Ki"),
        (1025, "1025"),
        (560 * 1024**3, "560Gi"),
        (560 * 1024**3 + 1, "560Gi"),
        (1024**4, "1Ti"),
        (1024**4 + 1, "1024Gi"),
    ],
)
def test_memory_is_said_in_binary_units(amount: int, text: str) -> None:
    assert binary_text(Fraction(amount)) == text


@given(st.integers(0, 2**50))
def test_what_is_said_is_never_more_and_nearly_all(amount: int) -> None:
    said = parse_quantity(binary_text(Fraction(amount)))
    assert said is not None
    assert said <= amount <= said * Fraction(11, 10)
