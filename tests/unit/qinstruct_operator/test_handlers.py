"""What wakes the operator up, and what does not."""

from typing import Any

import pytest

from qinstruct_operator.handlers import is_change


def event(type_: str | None, generation: int = 1, judged: int | None = 1) -> Any:
    status = {} if judged is None else {"observedGeneration": judged}
    return {"type": type_, "object": {"metadata": {"generation": generation}, "status": status}}


@pytest.mark.parametrize(
    ("what", "expected"),
    [
        (event(None), True),  # the first listing after a start
        (event("ADDED"), True),
        (event("MODIFIED", generation=2), True),
        (event("MODIFIED", judged=None), True),  # somebody wiped the status
        (event("MODIFIED"), False),  # our own write
        (event("DELETED"), False),
    ],
)
def test_events_that_start_a_pass(what: Any, expected: bool) -> None:
    assert is_change(what) is expected
