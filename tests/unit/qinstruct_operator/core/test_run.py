"""A run as a pass finds it: planned or refused, with what its status says."""

from typing import Any

import pytest

from qinstruct_operator.api.status import AttemptFailure, RecoveryStatus, Status
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
    ("spec", "want"),
    [
        ({}, False),
        ({"suspend": True}, True),
        ({"suspend": True, "size": "99B"}, True),
        ({"suspend": False, "size": "99B"}, False),
        ({"size": "99B"}, None),
        ({"suspend": "yes"}, None),
        ({"suspend": 1}, None),
    ],
)
def test_whether_it_is_suspended_is_read_beside_faults(
    spec: dict[str, Any], want: bool | None
) -> None:
    run = read(**spec)
    assert run.suspend is want


@pytest.mark.parametrize(
    ("status", "prepared", "finished"), [(PREPARED, True, False), (DONE, True, True)]
)
def test_what_its_status_says(status: Status, prepared: bool, finished: bool) -> None:
    run = read(status)
    assert run.status == status
    assert (run.was_prepared, run.is_finished) == (prepared, finished)


@pytest.mark.parametrize("stored", [None, 0, 1, 7])
def test_the_first_attempt_is_one_whatever_somebody_types(stored: int | None) -> None:
    assert read(PREPARED.model_copy(update={"attempt": stored})).attempt == 1


def test_an_attempt_comes_after_all_that_have_failed() -> None:
    known = RecoveryStatus(retries=2, disruptions=3)
    assert read(PREPARED.model_copy(update={"recovery": known})).attempt == 6
    last = AttemptFailure(attempt=5, kind="Transient", reason="Killed", time="2026-03-01T11:59:00Z")
    waits = known.model_copy(
        update={"next_attempt_time": "2026-03-01T12:00:00Z", "failures": (last,)}
    )
    assert read(PREPARED.model_copy(update={"recovery": waits})).attempt == 5


LONG = "k" * 1_000_000
URL = "https://" + "a:" * 500_000


def _nested(levels: int, *, as_list: bool = False) -> Any:
    value: Any = {}
    for _ in range(levels):
        value = [value] if as_list else {"a": value}
    return value


# What an API server could store, and more: each is read by the operator, for all its tenants.
HUGE: dict[str, dict[str, Any]] = {
    "a name of a source": {"data": {"sources": {LONG: {}}}},
    "a fault below a long name": {"data": {"sources": {LONG: {"url": 1}}}},
    "a key of a label": {"scheduling": {"nodeSelector": {LONG: "x"}}},
    "a fault below a long key": {"scheduling": {"nodeSelector": {LONG: "a b"}}},
    "very many labels": {"prep": {"nodeSelector": {f"k{i}": "!" for i in range(50_000)}}},
    "very many tolerations": {"prep": {"tolerations": [{"key": "a!"}] * 20_000}},
    "very many patches": {"patches": [{"target": "Prep", "patch": {}}] * 20_000},
    "a wide patch": {"patches": [{"target": "Prep", "patch": {f"k{i}": 1 for i in range(50_000)}}]},
    "very many unknown fields": {f"x{i}": 1 for i in range(50_000)},
    "an unknown field": {LONG: 1},
    "a choice": {"size": LONG},
    "a list for a choice": {"strategy": [LONG] * 3},
    "an address": {"data": {"sources": {"q-instruct-labels": {"url": URL}}}},
    "an address where none is meant": {"size": URL},
    "an address in a name": {"data": {"sources": {URL: {"url": 1}}}},
    "a base model": {"model": {"base": "a:" * 500_000 + "@"}},
    "a number as text": {"training": {"learningRate": "9" * 1_000_000}},
    "a number of thousands of digits": {"training": {"epochs": 10**5000}},
    "half a character": {"size": "\ud800"},
    "half a character in a field": {"\ud800": 1},
    "a NUL": {"output": {"claimName": "a\0b"}},
    **{
        f"a deep {field}": {field: _nested(100_000, as_list=as_list)}
        for field in ("size", "training", "suspend", "patches", "x")
        for as_list in (False, True)
    },
}


@pytest.mark.timeout(60)
@pytest.mark.parametrize("spec", HUGE.values(), ids=HUGE)
def test_a_huge_spec_is_read_in_a_moment_and_refused_in_short_sentences(
    spec: dict[str, Any],
) -> None:
    raw = training()
    raw["spec"] = raw["spec"] | spec
    found = [violation.sentence() for violation in Run.read(raw, Settings()).violations]
    assert 0 < len(found) <= 20
    assert all(len(sentence) < 800 and sentence.isprintable() for sentence in found)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("place", ["annotations", "ownerReferences", "managedFields", "status"])
def test_what_is_deep_beside_the_spec_is_no_error_either(place: str) -> None:
    raw = training()
    if place == "status":
        raw |= {"status": {"conditions": _nested(100_000), "phase": LONG, "message": LONG}}
    else:
        raw["metadata"] = raw["metadata"] | {place: _nested(100_000)}
    run = Run.read(raw, Settings())
    assert (run.plan is None) == (place != "status")
