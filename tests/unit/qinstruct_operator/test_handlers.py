"""What wakes the operator up and what does not, and when it is not healthy."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from qinstruct_operator.cluster.errors import ClusterError, Forbidden
from qinstruct_operator.handlers import is_change, unwritten, why_unhealthy
from qinstruct_operator.hearing import DEAF_SECONDS, Hearing
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


async def _forever() -> None:
    await asyncio.Event().wait()


async def _bug() -> None:
    raise ZeroDivisionError


@pytest.mark.parametrize(
    ("silent", "work", "healthy"),
    [
        (DEAF_SECONDS, _forever, True),
        (DEAF_SECONDS + 1, _forever, False),  # deaf
        (0.0, _bug, False),  # hears, and nobody works
    ],
)
def test_when_the_liveness_endpoint_fails(
    silent: float, work: Callable[[], Coroutine[Any, Any, None]], healthy: bool
) -> None:
    async def trial() -> bool:
        now = iter([0.0])
        hearing = Hearing(lambda: next(now, silent))
        task = asyncio.create_task(work())
        await asyncio.wait([task], timeout=0.01)
        reasons = why_unhealthy([task], hearing)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return not reasons

    assert asyncio.run(trial()) is healthy
