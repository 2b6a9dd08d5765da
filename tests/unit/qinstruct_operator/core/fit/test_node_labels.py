"""Node selectors and affinity terms: the scheduler's operators as laws."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qinstruct_operator.core.fit.node_labels import matches, term_matches

KEYS = st.sampled_from(["a", "b", "c"])
TEXTS = st.one_of(st.integers(-(2**64), 2**64).map(str), st.sampled_from(["", "x", "1_0", " 1"]))
LABELS = st.dictionaries(KEYS, TEXTS)
VALUES = st.lists(TEXTS, min_size=1, max_size=3)


def expression(key: str, operator: str, *values: str) -> dict[str, Any]:
    return {"key": key, "operator": operator, "values": list(values)}


@given(KEYS, VALUES, LABELS)
def test_in_and_its_opposite(key: str, values: list[str], labels: dict[str, str]) -> None:
    inside = matches(expression(key, "In", *values), labels)
    assert inside == (key in labels and labels[key] in values)
    assert matches(expression(key, "NotIn", *values), labels) is not inside  # also where absent


@given(KEYS, LABELS)
def test_exists_and_its_opposite(key: str, labels: dict[str, str]) -> None:
    exists = matches(expression(key, "Exists"), labels)
    assert exists == (key in labels)
    assert matches(expression(key, "DoesNotExist"), labels) is not exists


@given(KEYS, LABELS, st.integers(-(2**63), 2**63 - 1))
def test_greater_and_less_compare_integers_of_64_bits(
    key: str, labels: dict[str, str], bound: int
) -> None:
    more = matches(expression(key, "Gt", str(bound)), labels)
    less = matches(expression(key, "Lt", str(bound)), labels)
    text = labels.get(key, "")
    number = int(text) if text.removeprefix("-").isdecimal() else None
    if number is None or not -(2**63) <= number < 2**63:
        assert not more
        assert not less
    else:
        assert (more, less) == (number > bound, number < bound)


@given(KEYS, VALUES.filter(lambda values: len(values) != 1), LABELS)
def test_a_bound_is_one_value(key: str, values: list[str], labels: dict[str, str]) -> None:
    assert not matches(expression(key, "Gt", *values), labels)
    assert not matches(expression(key, "Lt", *values), labels)


@given(st.lists(st.builds(expression, KEYS, st.sampled_from(["In", "NotIn"]), TEXTS)), LABELS)
def test_a_term_is_a_conjunction_and_an_empty_one_holds_nowhere(
    expressions: list[dict[str, Any]], labels: dict[str, str]
) -> None:
    holds = term_matches({"matchExpressions": expressions}, "n", labels)
    assert holds == (bool(expressions) and all(matches(each, labels) for each in expressions))


def test_a_term_may_name_the_node() -> None:
    term = {"matchFields": [expression("metadata.name", "In", "n")]}
    assert term_matches(term, "n", {})
    assert not term_matches(term, "m", {})


def test_an_unknown_operator_is_a_bug() -> None:
    with pytest.raises(ValueError, match="Near is no operator"):
        matches(expression("a", "Near", "x"), {})
