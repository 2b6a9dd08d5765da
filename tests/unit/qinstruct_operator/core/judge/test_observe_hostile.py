"""Whatever a cluster, a pod or a user writes: it is judged, and the verdict can be stored."""

import json
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from qinstruct_operator.api.crd import crd
from qinstruct_operator.api.read_status import read_status
from qinstruct_operator.api.status import Status
from qinstruct_operator.core.decide import decide, requeue_after
from qinstruct_operator.core.judge.judge import judge
from qinstruct_operator.core.judge.observe import Snapshot
from qinstruct_operator.core.judge.transitions import transition_events
from qinstruct_operator.reconcile import status_json
from qinstruct_operator.settings import Settings
from support.observed import (
    COMPLETE,
    JOB_FAILED,
    NOW,
    SUCCEEDED,
    Raw,
    claim,
    condition,
    config_map,
    ended,
    failed_event,
    lines,
    plan,
    pod,
    prep_event,
    prep_job,
    pytorchjob,
    run_of,
    running,
    saved_event,
    seen,
    snapshot_of,
    start_event,
    status_of,
    step_event,
    waiting,
    warning,
)

PLAN = plan()
UNSCHEDULED = condition("PodScheduled", "Unschedulable", "0/3 nodes are available", "False")
LOG = lines(
    prep_event(1), start_event(), step_event(7), saved_event(7), failed_event("BadData", "why", 65)
)


def snapshots() -> Iterator[Snapshot]:
    """A snapshot for each combination of children and states."""
    for prep in (None, prep_job(), prep_job(COMPLETE), prep_job(JOB_FAILED)):
        for job in (None, pytorchjob(), pytorchjob(SUCCEEDED), pytorchjob(JOB_FAILED)):
            work = job or prep
            states = (None, waiting(), waiting("ErrImagePull", "no"), running(), ended(), ended(65))
            for state in states if work else (None,):
                of = pod(work, state, UNSCHEDULED, node="n" if state else None) if work else None
                yield snapshot_of(
                    config=config_map(),
                    prep=prep,
                    training=job,
                    claims={"x-output": claim("x-output", "Pending"), "c": None},
                    pods=(of,) if of else (),
                    events=(warning(work, "FailedMount", "no"),) if work else (),
                    log=LOG,
                )


SNAPSHOTS = list(snapshots())
SCHEMA = Draft202012Validator(
    crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"]
)
JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6)
    | st.sampled_from(["True", "x" * 9_000, "2026-13-45T99:99:99Z", 10**30]),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(["type", "status", "reason", "message", "state", "waiting"]),
            inner,
            max_size=2,
        )
    ),
    max_leaves=4,
)  # fmt: skip


@st.composite
def spoilt(draw: st.DrawFn, raw: Mapping[str, Any] | None) -> Raw | None:
    """The object with values of its own replaced or left out; its metadata are the server's."""
    if raw is None:
        return None
    result = deepcopy(dict(raw))
    for _ in range(draw(st.integers(0, 3))):
        places = list(_places(result))
        if places:
            holder, key = draw(st.sampled_from(places))
            if draw(st.booleans()):
                holder[key] = draw(JUNK)
            elif isinstance(holder, dict):
                del holder[key]
    return result


def _places(raw: Any, *, top: bool = True) -> Iterator[tuple[Any, Any]]:
    items: list[tuple[Any, Any]] = []
    if isinstance(raw, dict):
        items = [(k, v) for k, v in raw.items() if not top or k not in ("metadata", "kind")]
    elif isinstance(raw, list):
        items = list(enumerate(raw))
    for key, value in items:
        yield raw, key
        yield from _places(value, top=False)


@st.composite
def spoilt_snapshots(draw: st.DrawFn) -> Snapshot:
    base = draw(st.sampled_from(SNAPSHOTS))
    return replace(
        base,
        prep=draw(spoilt(base.prep)),
        training=draw(spoilt(base.training)),
        support={id_: draw(spoilt(raw)) for id_, raw in base.support.items()},
        pods=tuple(each for raw in base.pods if (each := draw(spoilt(raw)))),
        events=tuple(each for raw in base.events if (each := draw(spoilt(raw)))),
        log=draw(st.sampled_from([(), LOG, LOG[:2]]) | st.lists(st.text(), max_size=3).map(tuple)),
    )


@settings(deadline=None, max_examples=600)
@given(spoilt_snapshots(), st.booleans())
def test_any_snapshot_is_judged(snapshot: Snapshot, prepared: bool) -> None:
    previous = status_of(snapshot_of(prep=prep_job(COMPLETE))) if prepared else Status()
    observed = seen(snapshot)
    run = run_of(previous, PLAN)
    decide(run, observed, NOW)
    status = judge(run, observed, NOW)
    SCHEMA.validate(json.loads(json.dumps(status_json(status), allow_nan=False)))
    assert read_status({"status": status_json(status)}) == (status, ())
    requeue_after(status, observed, Settings(), NOW)
    for event in transition_events(run_of(previous), status, NOW):
        assert len(event["message"]) <= 1024
    for each in status.conditions:
        assert each.reason.isalnum()
        assert each.message.isprintable() or "\n" in each.message


@settings(deadline=None, max_examples=150)
@given(st.data())
def test_any_earlier_status_is_read(data: st.DataObject) -> None:
    """Users may write it, and another version may have."""
    snapshot = data.draw(st.sampled_from(SNAPSHOTS))
    stored = data.draw(spoilt({"status": status_json(status_of(snapshot))}))
    previous, _ = read_status(stored or {})
    status = judge(run_of(previous, PLAN), seen(snapshot), NOW)
    requeue_after(status, seen(snapshot), Settings(), NOW)
    assert read_status({"status": status_json(status)}) == (status, ())
