"""Reading JSON that somebody else wrote."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from qinstruct_operator.core.raw import at, conditions_of, moment, number, objects, text

POD: dict[str, Any] = {
    "metadata": {"name": "x", "generation": 2},
    "status": {"conditions": [{"type": "Ready", "status": "True"}, None, "no"]},
}


@pytest.mark.parametrize("path", [("spec",), ("metadata", "uid"), ("metadata", "name", "more")])
def test_what_is_missing_is_none_or_empty(path: tuple[str, ...]) -> None:
    assert at(POD, *path) is None
    assert text(POD, *path) == ""
    assert number(POD, *path) is None
    assert objects(POD, *path) == []


@pytest.mark.parametrize("raw", [None, [], "text", 7])
def test_what_is_no_object_holds_nothing(raw: object) -> None:
    assert at(raw, "metadata") is None


def test_values_of_the_right_type_are_read() -> None:
    assert text(POD, "metadata", "name") == "x"
    assert number(POD, "metadata", "generation") == 2
    assert objects(POD, "status", "conditions") == [{"type": "Ready", "status": "True"}]
    assert conditions_of(POD) == {"Ready": {"type": "Ready", "status": "True"}}


@pytest.mark.parametrize("value", [True, 1.0, "1", 2**31, -(2**31)])
def test_a_number_is_a_whole_one_of_32_bits(value: object) -> None:
    assert number({"n": value}, "n") is None


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("2026-01-02T03:04:05Z", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("2026-01-02T03:04:05", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        (
            "2026-01-02T03:04:05+01:00",
            datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone(timedelta(hours=1))),
        ),
        ("yesterday", None),
        ("", None),
    ],
)
def test_a_moment_without_a_zone_is_in_utc(said: str, meant: datetime | None) -> None:
    assert moment(said) == meant
