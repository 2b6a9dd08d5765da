"""What wakes the operator up, and what does not."""

from typing import Any

import pytest

from qinstruct_operator.cluster.errors import ClusterError, Forbidden
from qinstruct_operator.handlers import is_change, unwritten
from qinstruct_operator.reconcile import Told


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


def test_errors_that_no_status_tells_are_told_by_the_probe() -> None:
    forbidden = Forbidden("write the status of QInstructTraining team/x: forbidden", status=403)
    many = [ClusterError(f"get QInstructTraining team/x-{n}: no answer") for n in range(9)]
    assert unwritten([]) == []
    assert unwritten([Told("create Job team/x-prep: HTTP 500"), forbidden]) == [str(forbidden)]
    assert len(unwritten(many)) == 5
