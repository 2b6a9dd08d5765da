"""A run as a pass finds it: planned or refused, with what its status says."""

from typing import Any

import pytest

from qinstruct_operator.api.status import Status
from qinstruct_operator.core.backends.pytorchjob import PYTORCHJOB
from qinstruct_operator.core.judge.observe import Snapshot
from qinstruct_operator.core.run import Run
from qinstruct_operator.kinds import CLAIM, CONFIG_MAP
from qinstruct_operator.reconcile import status_json
from qinstruct_operator.settings import Settings
from support.observed import COMPLETE, SUCCEEDED, prep_job, pytorchjob, status_of, training

PREPARED = status_of(Snapshot(prep=prep_job(COMPLETE)))
DONE = status_of(Snapshot(training=pytorchjob(SUCCEEDED)), PREPARED)


def read(status: Status | None = None, **spec: Any) -> Run:
    raw = training(**spec)
    return Run.read(raw | ({"status": status_json(status)} if status else {}), Settings())


def test_a_new_run() -> None:
    run = read()
    assert (run.namespace, run.name, run.generation, run.resource_version) == ("team", "x", 1, "7")
    assert run.plan is not None
    assert (run.status, run.violations, run.attempt) == (Status(), (), 1)
    assert (run.was_prepared, run.is_finished) == (False, False)
    assert run.support_ids == (
        (CONFIG_MAP, "x-config"),
        (CLAIM, "qinstruct-cache"),
        (CLAIM, "x-output"),
    )


def test_claims_that_the_user_brings_are_needed_too() -> None:
    run = read(data={"claimName": "data"}, output={"claimName": "mine"})
    assert run.support_ids == ((CONFIG_MAP, "x-config"), (CLAIM, "data"), (CLAIM, "mine"))
    run = read(data={"claimName": "data"})
    assert run.support_ids == ((CONFIG_MAP, "x-config"), (CLAIM, "data"), (CLAIM, "x-output"))


def test_a_refused_run_has_no_children() -> None:
    run = read(gpu={"nodes": 2})
    assert [each.field for each in run.violations] == ["spec.gpu.nodes"]
    assert run.plan is None
    assert run.support_ids == ((CONFIG_MAP, "x-config"),)
    assert run.backend is PYTORCHJOB


@pytest.mark.parametrize(
    ("status", "prepared", "finished"), [(PREPARED, True, False), (DONE, True, True)]
)
def test_what_its_status_says(status: Status, prepared: bool, finished: bool) -> None:
    run = read(status)
    assert run.status == status
    assert (run.was_prepared, run.is_finished) == (prepared, finished)


@pytest.mark.parametrize(("stored", "attempt"), [(None, 1), (0, 1), (1, 1), (7, 7)])
def test_the_first_attempt_is_one(stored: int | None, attempt: int) -> None:
    assert read(PREPARED.model_copy(update={"attempt": stored})).attempt == attempt
