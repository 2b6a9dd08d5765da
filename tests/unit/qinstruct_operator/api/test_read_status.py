"""A stored status is read as far as it can be; one bad field costs that field alone."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given

from qinstruct_operator.api.read_status import read_status
from qinstruct_operator.api.status import Status
from qinstruct_operator.core.condition_list import is_finished
from qinstruct_operator.kinds import EVENT, JOB, TRAINING
from qinstruct_operator.reconcile import Reconciler
from qinstruct_operator.settings import Settings
from support.any_json import JSON, holding
from support.fake_cluster.cluster import FakeCluster
from support.operator_documents import document

TIME = "2026-01-01T00:00:00Z"
COMPLETE: dict[str, Any] = {
    "type": "Complete",
    "status": "True",
    "reason": "Trained",
    "message": "the model is there",
    "lastTransitionTime": TIME,
    "observedGeneration": 1,
}
GARBAGE: dict[str, tuple[dict[str, Any], str]] = {
    "text for a number": ({"attempt": "two"}, "status.attempt"),
    "a list for text": ({"queue": ["a", "b"]}, "status.queue"),
    "a field of a part": ({"training": {"step": "many"}}, "status.training"),
    "a part that is no mapping": ({"prep": 3}, "status.prep"),
    "no list of conditions": ({"conditions": "all well"}, "status.conditions"),
    "out of range": ({"gpuHours": -1}, "status.gpuHours"),
    "too many conditions": ({"conditions": [COMPLETE] * 17}, "status.conditions"),
}


@pytest.mark.parametrize(("bad", "name"), GARBAGE.values(), ids=GARBAGE)
def test_one_bad_field_costs_that_field_alone(bad: dict[str, Any], name: str) -> None:
    good = {"phase": "Training", "progress": "43%", "node": "gpu-a"}
    status, unreadable = read_status({"status": good | bad})
    assert status == Status(phase="Training", progress="43%", node="gpu-a")
    assert unreadable == (name,)


def test_a_bad_condition_costs_that_condition_alone() -> None:
    stored = {"conditions": [{"type": "Broken"}, COMPLETE, "nonsense", COMPLETE | {"status": "?"}]}
    status, unreadable = read_status({"status": stored})
    assert [each.type for each in status.conditions] == ["Complete"]
    assert unreadable == ("status.conditions",)


@pytest.mark.parametrize("stored", ["done", 3, ["Complete"], True])
def test_a_status_that_is_no_mapping(stored: object) -> None:
    assert read_status({"status": stored}) == (Status(), ("status",))


@pytest.mark.parametrize("resource", [{}, {"status": None}, {"status": {}}])
def test_no_status(resource: dict[str, Any]) -> None:
    assert read_status(resource) == (Status(), ())


def test_what_a_newer_operator_wrote_is_skipped() -> None:
    stored = {"phase": "Training", "fromTheFuture": 1, "training": {"step": 1, "joules": 5}}
    status, unreadable = read_status({"status": stored})
    assert status.training is not None
    assert status.training.step == 1
    assert unreadable == ()


@given(JSON | holding("phase", "attempt", "conditions", "prep", "gpuHours"))
def test_any_status_can_be_read(raw: Any) -> None:
    status, unreadable = read_status({"status": raw})
    assert unreadable or status == Status.model_validate(raw or {})


@pytest.mark.parametrize(("bad", "name"), GARBAGE.values(), ids=GARBAGE)
def test_a_complete_run_with_a_bad_field_stays_complete(bad: dict[str, Any], name: str) -> None:
    """The operator asks for nothing, creates nothing and writes nothing."""
    if name == "status.conditions":
        bad = {"conditions": [COMPLETE, {"type": "Broken"}]}
    stored = {"phase": "Complete", "observedGeneration": 1, "conditions": [COMPLETE]} | bad
    assert is_finished(read_status({"status": stored})[0])

    async def pass_over(cluster: FakeCluster) -> float | None:
        run = document()
        run["metadata"]["namespace"] = "team"
        await cluster.create(run)
        cluster.set_status(TRAINING, "team", "x", stored)
        reconciler = Reconciler(cluster, Settings(), lambda: datetime(2026, 1, 2, tzinfo=UTC))
        return await reconciler.reconcile("team", "x")

    cluster = FakeCluster(namespace="team")
    assert asyncio.run(pass_over(cluster)) is None
    found = asyncio.run(cluster.get(TRAINING, "team", "x"))
    assert found is not None
    assert found["status"] == stored
    assert asyncio.run(cluster.list(JOB, "team")) == ()
    assert asyncio.run(cluster.list(EVENT, "team")) == ()
