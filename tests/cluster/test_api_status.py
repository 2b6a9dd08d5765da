"""On a real API server a status is stored as the operator wrote it, and nothing else changes."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from datetime import UTC
from typing import Any, Final, TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from cluster.harness.api_request import MERGE, runs_path, send_request
from cluster.harness.control_plane import ControlPlane
from cluster.harness.testcluster import TestCluster
from qinstruct_operator.api.parse import parse
from qinstruct_operator.api.read_status import read_status
from qinstruct_operator.api.status import (
    MAX_INTEGER,
    MAX_SOURCES,
    CheckpointStatus,
    Condition,
    FailureStatus,
    GpuSecondsStatus,
    PrepStatus,
    SourceStatus,
    Status,
    TrainingStatus,
)
from qinstruct_operator.cluster.connect import connect
from qinstruct_operator.cluster.port import Resource
from qinstruct_operator.constants import FIELD_MANAGER
from qinstruct_operator.core.condition_list import CONDITIONS
from qinstruct_operator.core.judge.goodput import HELD
from qinstruct_operator.core.times import time_text
from qinstruct_operator.kinds import TRAINING
from qinstruct_operator.reconcile import status_json
from support.operator_documents import document

pytestmark = pytest.mark.cluster

NAMESPACE: Final = "statuses"
LONGEST_TEXT: Final = 32768
WIDEST_SIGN: Final = "\N{GRINNING FACE}"  # four bytes
WHEN: Final = "2026-11-24T11:15:59Z"

Write = Callable[[Status], Resource]
M = TypeVar("M", bound=BaseModel)


def text(longest: int) -> st.SearchStrategy[str | None]:
    return st.none() | st.text(max_size=min(longest, 80))


def word(longest: int) -> st.SearchStrategy[str]:
    return st.text(min_size=1, max_size=min(longest, 80))


def made(model: type[M], /, **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[M]:
    """Not `st.builds`: it takes fields for missing that the signature of a model names by alias."""
    return st.fixed_dictionaries(fields).map(lambda values: model(**values))


COUNT = st.integers(0, 2**63 - 1)
COUNTS = st.none() | COUNT
NUMBERS = st.none() | st.floats(allow_nan=False, allow_infinity=False)
TIMES = st.datetimes(timezones=st.just(UTC)).map(time_text).filter(lambda t: len(t) == len(WHEN))
CONDITION = made(
    Condition,
    type=st.sampled_from(CONDITIONS),
    status=st.sampled_from(["True", "False", "Unknown"]),
    reason=word(1024),
    message=st.text(max_size=200),
    last_transition_time=TIMES,
    observed_generation=COUNTS,
)
SOURCE_ROWS = st.lists(
    made(
        SourceStatus,
        name=word(256),
        state=word(64),
        done=COUNTS,
        total=COUNTS,
        unit=text(16),
        eta=text(64),
    ),
    max_size=MAX_SOURCES,
    unique_by=lambda each: each.name,
).map(tuple)
STATUSES = made(
    Status,
    observed_generation=COUNTS,
    conditions=st.lists(CONDITION, unique_by=lambda each: each.type).map(tuple),
    phase=text(64),
    progress=text(64),
    eta=text(64),
    attempt=st.none() | st.integers(0, 99999),
    queue=text(253),
    image=text(1024),
    node=text(253),
    gpu_hours=st.none() | st.floats(min_value=0, allow_nan=False, allow_infinity=False),
    gpu_seconds=st.none()
    | made(
        GpuSecondsStatus,
        **dict.fromkeys((*HELD, "queued"), st.integers(0, MAX_INTEGER)),
        waiting_since=st.none() | TIMES,
        first_step=COUNTS,
        last_step=COUNTS,
    ),
    goodput=text(64),
    prep=st.none()
    | made(
        PrepStatus,
        stage=text(64),
        item=text(256),
        done=COUNTS,
        total=COUNTS,
        unit=text(16),
        waiting_for=text(253),
        sources=st.none() | SOURCE_ROWS,
        downloads_eta=text(64),
    ),
    training=st.none()
    | made(
        TrainingStatus,
        step=COUNTS,
        steps=COUNTS,
        loss=NUMBERS,
        samples_per_second=NUMBERS,
        tokens_per_second=NUMBERS,
    ),
    checkpoint=st.none() | made(CheckpointStatus, step=COUNT, time=TIMES),
    failure=st.none()
    | made(
        FailureStatus,
        reason=word(80),
        message=text(LONGEST_TEXT),
        exit_code=st.none() | st.integers(-(2**31), 2**31 - 1),
        attempt=st.none() | st.integers(1, 2**63 - 1),
        log_tail=text(LONGEST_TEXT),
    ),
    model=text(1024),
)


@pytest.fixture(scope="module")
def api(test_cluster: TestCluster) -> Iterator[ControlPlane]:
    test_cluster.create_namespace(NAMESPACE)
    yield test_cluster.api
    test_cluster.kubectl("delete", "namespace", NAMESPACE, "--wait=false")


@pytest.fixture(scope="module")
def write(api: ControlPlane) -> Iterator[Write]:
    """Writes the status of one run as the operator does; returns the stored run."""
    run = document("run") | {"metadata": {"name": "run", "namespace": NAMESPACE}}
    with asyncio.Runner() as runner:
        stack = AsyncExitStack()
        cluster = runner.run(
            stack.enter_async_context(connect(kubeconfig=str(api.admin_kubeconfig)))
        )
        runner.run(cluster.create(run))

        async def written(status: Status) -> Resource:
            before = await cluster.get(TRAINING, NAMESPACE, "run")
            assert before is not None
            after = await cluster.replace_status(before, status_json(status))
            assert after["spec"] == before["spec"]
            assert after["metadata"]["generation"] == before["metadata"]["generation"] == 1
            return after

        yield lambda status: runner.run(written(status))
        runner.run(stack.aclose())


@settings(max_examples=60, deadline=None)
@given(status=STATUSES)
def test_a_status_is_stored_as_it_was_written(write: Write, status: Status) -> None:
    stored = write(status)
    assert read_status(stored) == (status, ())
    assert parse(stored).status == status


def test_the_longest_texts_are_stored(write: Write) -> None:
    """The server counts characters as we do; bytes are four times as many."""
    longest = WIDEST_SIGN * LONGEST_TEXT
    condition = Condition(
        type="Failed",
        status="True",
        reason="R" * 1024,
        message=longest,
        last_transition_time=WHEN,
    )
    status = Status(
        conditions=(condition,),
        failure=FailureStatus(reason="R" * 256, message=longest),
        model=WIDEST_SIGN * 1024,
    )
    assert read_status(write(status)) == (status, ())


def test_a_later_status_leaves_nothing_of_an_earlier_one(write: Write) -> None:
    write(Status(phase="Training", training=TrainingStatus(step=3, loss=1.5), eta="3m"))
    assert write(Status(phase="Complete"))["status"] == {"conditions": [], "phase": "Complete"}


def test_a_user_reaches_the_status_through_its_subresource_alone(api: ControlPlane) -> None:
    name = "by-hand"
    assert send_request(api, "POST", runs_path(NAMESPACE), document(name)).ok
    spec = {"scheduling": {"queueName": "gpus"}}
    patch: dict[str, Any] = {"spec": spec, "status": {"phase": "Complete"}}

    changed = send_request(api, "PATCH", runs_path(NAMESPACE, name), patch, content_type=MERGE)
    assert "status" not in changed.content
    assert changed.content["spec"]["scheduling"] == {"queueName": "gpus"}

    patch["spec"]["scheduling"]["queueName"] = "others"
    path = runs_path(NAMESPACE, name, "status")
    changed = send_request(api, "PATCH", path, patch, content_type=MERGE)
    assert changed.content["status"] == {"phase": "Complete"}
    assert changed.content["spec"]["scheduling"] == {"queueName": "gpus"}


def test_the_operator_owns_the_status_and_nothing_else(write: Write) -> None:
    managed = write(Status(phase="Training"))["metadata"]["managedFields"]
    written = [one for one in managed if one.get("subresource") == "status"]
    (fields,) = [one["fieldsV1"] for one in written if one["manager"] == FIELD_MANAGER]
    assert set(fields) == {"f:status"}
