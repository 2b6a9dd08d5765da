"""Which nodes the next attempt is kept from, by how those before it ended."""

from datetime import timedelta
from typing import Any

import pytest

from qinstruct_operator.api.status import AttemptFailure, FailureKind, Status
from qinstruct_operator.core.attempts import Spent, avoided_by
from qinstruct_operator.core.decide import decide
from qinstruct_operator.core.judge.observe import Snapshot, observe
from support.attempts import CLAIMS, DONE, after, failed, known, pinned, run_with
from support.observed import (
    NOW,
    config_map,
    ended,
    failed_event,
    lines,
    message,
    pod,
    snapshot_of,
    step_event,
)
from support.waiting_case import AVOIDING, SCHEDULER, unscheduled

SPEC: dict[str, Any] = {"recovery": {"maxRetries": 100, "maxDisruptions": 100}}
GPU = lines(failed_event("GpuFailed", "a GPU fell off the bus", 71))


Failure = tuple[FailureKind, str, str | None]
TWICE: tuple[Failure, ...] = (("Transient", "GpuFailed", "gpu-1"),) * 2
DELETED: Failure = ("Disruption", "WorkloadDeleted", None)


def before(*failures: Failure) -> Status:
    """A status that knows of such attempts: kind, reason and node of each."""
    status = after(failed(attempt=len(failures) + 1), **SPEC)
    recorded = tuple(
        AttemptFailure(attempt=n, kind=kind, reason=reason, time="2026-03-01T11:00:00Z", node=node)
        for n, (kind, reason, node) in enumerate(failures, 1)
    )
    recovery = known(status).model_copy(update={"failures": recorded})
    return status.model_copy(update={"recovery": recovery, "training": None})


def on_node(attempt: int, node: str, *, avoided: str = "", log: tuple[str, ...] = GPU) -> Snapshot:
    """An attempt that has failed on a node, and was kept from others."""
    snapshot = failed(71, attempt, log, Spent(retries=attempt - 1))
    job = snapshot.training
    assert job is not None
    job["metadata"]["annotations"]["qinstruct.dev/avoided-nodes"] = avoided
    return snapshot_of(
        prep=snapshot.prep,
        training=job,
        pods=(pod({**job}, ended(71), node=node),),
        log=log,
        config=config_map(),
        claims=CLAIMS,
    )


def kept_from(snapshot: Snapshot, status: Status) -> tuple[str, ...]:
    """The nodes that the next attempt is kept from, once this one's failure is written down."""
    written = after(snapshot, status, **SPEC)
    run = run_with(written, **SPEC)
    (*_, made) = decide(run, observe(run, snapshot), NOW + timedelta(hours=1))
    return avoided_by(made.child.manifest)


def test_the_first_failure_on_a_node_keeps_no_attempt_from_it() -> None:
    assert kept_from(on_node(2, "gpu-1"), before(("Transient", "GpuFailed", "gpu-2"))) == ()


@pytest.mark.parametrize("reason", ["GpuFailed", "PeerLost", "Stalled", "NonFiniteLoss"])
def test_the_second_that_a_machine_can_cause_does(reason: str) -> None:
    status = before(("Transient", reason, "gpu-1"))
    snapshot = on_node(2, "gpu-1")
    assert kept_from(snapshot, status) == ("gpu-1",)
    assert ", not on gpu-1, from " in message(after(snapshot, status, **SPEC), "Scheduled")


@pytest.mark.parametrize(
    "earlier",
    [
        ("Disruption", "Evicted", "gpu-1"),
        ("Disruption", "Error", "gpu-1"),
        ("Transient", "Error", "gpu-1"),
        ("Transient", "Killed", "gpu-1"),
        ("Transient", "Unavailable", "gpu-1"),
        ("Transient", "OutputBusy", "gpu-1"),
        ("Transient", "Storage", "gpu-1"),
        ("Transient", "NewerTrainersWord", "gpu-1"),
        ("Transient", "GpuFailed", None),
        ("Transient", "GpuFailed", "Not a node"),
    ],
)
def test_what_no_machine_is_blamed_for_counts_for_none(
    earlier: Failure,
) -> None:
    assert kept_from(on_node(2, "gpu-1"), before(earlier)) == ()


def test_a_disruption_there_is_no_reason_either() -> None:
    snapshot = failed(143, 2, (), Spent(retries=1))  # on gpu-1
    assert kept_from(snapshot, before(("Transient", "GpuFailed", "gpu-1"))) == ()


def test_what_an_attempt_was_kept_from_its_successors_are_whatever_the_status_has_lost() -> None:
    assert kept_from(on_node(4, "gpu-3", avoided="gpu-1,gpu-2"), Status()) == ("gpu-1", "gpu-2")
    disturbed = failed(143, 4, (), Spent(3))
    assert disturbed.training is not None
    disturbed.training["metadata"]["annotations"]["qinstruct.dev/avoided-nodes"] = "gpu-2"
    assert kept_from(disturbed, Status()) == ("gpu-2",)


@pytest.mark.parametrize(
    ("first", "second", "avoided"),
    [
        (None, None, ("gpu-1",)),
        (43, 43, ("gpu-1",)),
        (50, 43, ("gpu-1",)),
        (43, None, ("gpu-1",)),
        (42, 43, ()),
        (None, 43, ()),
    ],
)
def test_a_node_where_the_run_has_come_further_since_is_not_blamed(
    first: int | None, second: int | None, avoided: tuple[str, ...]
) -> None:
    status = before(("Transient", "GpuFailed", "gpu-1"))
    recovery = known(status)
    earlier = recovery.failures[0].model_copy(update={"step": first})
    recovery = recovery.model_copy(update={"failures": (earlier,)})
    log = (*lines(step_event(second)), *GPU) if second else GPU
    snapshot = on_node(2, "gpu-1", log=log)
    assert kept_from(snapshot, status.model_copy(update={"recovery": recovery})) == avoided


def test_a_failure_that_the_status_has_no_room_for_counts_in_no_pass() -> None:
    others: tuple[Failure, ...] = (("Disruption", "Disrupted", "gpu-2"),) * 9
    status = before(TWICE[0], *others)
    snapshot = on_node(11, "gpu-1")
    first = after(snapshot, status, **SPEC)
    assert ", not on " not in message(first, "Scheduled")
    assert message(after(snapshot, first, **SPEC), "Scheduled") == message(first, "Scheduled")


def test_an_attempt_that_vanishes_from_its_node_forgets_nothing() -> None:
    gone = snapshot_of(prep=DONE, config=config_map(), claims=CLAIMS)
    ran = before(*TWICE).model_copy(update={"attempt": 3, "node": "gpu-2"})
    assert kept_from(gone, ran) == ("gpu-1",)


@pytest.mark.parametrize(
    ("spec", "way_out"),
    [
        (
            {"recovery": {"maxDisruptions": 1}},
            "`kubectl delete pytorchjob x-1` lets the next attempt go there again, and counts as a "
            "disruption",
        ),
        (
            {"recovery": {"maxDisruptions": 0}},
            "another node helps, or the run created again: no disruption is left, so that to "
            "delete x-1 would end the run",
        ),
        (
            {
                "recovery": {"maxDisruptions": 0},
                "scheduling": {"ttlSecondsAfterFinished": 3600},
            },
            "`kubectl delete pytorchjob x-1` lets the next attempt go there again, and counts as a "
            "disruption",
        ),
    ],
)
def test_the_way_out_of_a_closed_node_is_none_that_ends_the_run(
    spec: dict[str, Any], way_out: str
) -> None:
    waits = snapshot_of(
        prep=DONE,
        training=AVOIDING,
        pods=(unscheduled(SCHEDULER),),
        config=config_map(),
        claims=CLAIMS,
    )
    said = message(after(pinned(waits, **spec)), "Scheduled")
    assert said.endswith(f"gpu-1, gpu-2, where this run has failed twice: {way_out}")


def test_who_deletes_an_attempt_lets_the_next_ones_go_anywhere() -> None:
    assert kept_from(on_node(3, "gpu-2"), before(*TWICE)) == ("gpu-1",)
    assert kept_from(on_node(4, "gpu-1"), before(*TWICE, DELETED)) == ()
    again = before(*TWICE, DELETED, ("Transient", "PeerLost", "gpu-1"))
    assert kept_from(on_node(5, "gpu-1"), again) == ("gpu-1",)
    gone = snapshot_of(prep=DONE, config=config_map(), claims=CLAIMS)
    waited = before(*TWICE).model_copy(update={"attempt": 3})
    assert kept_from(gone, waited) == ()
