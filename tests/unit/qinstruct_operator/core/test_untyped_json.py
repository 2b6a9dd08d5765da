"""JSON that somebody else wrote: anything may be missing or of another type."""

import pytest

from qinstruct_operator.core.untyped_json import (
    at,
    conditions_of,
    is_controlled_by,
    last_seen,
    number,
    objects,
    text,
)

RAW = {"a": {"b": "x", "n": 7, "t": True, "l": [{"k": 1}, "junk", None]}, "s": "text"}


def test_what_is_there() -> None:
    assert at(RAW, "a", "n") == 7
    assert text(RAW, "a", "b") == "x"
    assert number(RAW, "a", "n") == 7
    assert objects(RAW, "a", "l") == [{"k": 1}]


@pytest.mark.parametrize("raw", [None, 3, "s", [], {}, {"a": None}, {"a": [1]}])
def test_what_is_not(raw: object) -> None:
    assert at(raw, "a", "b") is None
    assert text(raw, "a", "b") == ""
    assert number(raw, "a", "b") is None
    assert objects(raw, "a", "b") == []


def test_numbers_are_whole_and_fit_32_bits() -> None:
    values = {"true": True, "real": 1.5, "huge": 2**31, "text": "1"}
    assert [number(values, key) for key in values] == [None] * 4


def test_conditions_by_type() -> None:
    ready = {"type": "Ready", "status": "True"}
    assert conditions_of({"status": {"conditions": [ready, "junk"]}}) == {"Ready": ready}
    assert conditions_of({"status": "junk"}) == {}


def test_only_a_controller_controls() -> None:
    def owned(**owner: object) -> dict[str, object]:
        return {"metadata": {"ownerReferences": [owner]}}

    assert is_controlled_by(owned(uid="u", controller=True), "u")
    assert not is_controlled_by(owned(uid="u"), "u")
    assert not is_controlled_by(owned(uid="v", controller=True), "u")
    assert not is_controlled_by({"metadata": {}}, "u")


def test_an_event_was_seen_last_when_its_newest_kind_of_time_says() -> None:
    """A series has `lastTimestamp`; events.k8s.io writes `eventTime`; each object was created."""
    event: dict[str, object] = {"metadata": {"creationTimestamp": "2026-03-01T12:00:00Z"}}
    assert last_seen(event) == "2026-03-01T12:00:00Z"
    event |= {"eventTime": "2026-03-01T12:00:01.5Z", "lastTimestamp": None}
    assert last_seen(event) == "2026-03-01T12:00:01.5Z"
    event |= {"lastTimestamp": "2026-03-01T12:07:00Z"}
    assert last_seen(event) == "2026-03-01T12:07:00Z"
    assert last_seen({}) == ""
