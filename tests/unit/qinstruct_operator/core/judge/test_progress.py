"""How far a run is, from the last lines of a log."""

import json
import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qinstruct_operator.api.status import (
    MAX_SOURCES,
    CheckpointStatus,
    PrepStatus,
    TrainingStatus,
)
from qinstruct_operator.core.judge.pods import Pod
from qinstruct_operator.core.judge.progress import (
    PrepSeen,
    TrainingSeen,
    eta_text,
    percent_text,
    prep_progress,
    read_events,
    restarting_text,
    restarts_text,
    training_progress,
)
from qinstruct_trainer.contract.events import Event, PrepDone
from support.observed import (
    NOW,
    exported_event,
    failed_event,
    lines,
    prep_event,
    restarting_event,
    saved_event,
    start_event,
    step_event,
    waiting_event,
)

POD = Pod("x-prep-a", "Running", "gpu-1", "", uid="uid-a")  # of an older version
TOLD = replace(POD, writer="uid-a")
FETCH = PrepStatus(stage="fetch", item="labels", done=30, total=100, unit="files")
PREP_CASES = {
    "no line": ((), None),
    "no event of prep": (("loading", *lines(start_event()), "{}", "{not json"), None),
    "one event has no rate": (lines(prep_event(30)), PrepSeen(FETCH, None)),
    "20 files in 20 seconds, 70 to go": (
        lines(prep_event(10), prep_event(20), prep_event(30)),
        PrepSeen(FETCH, 70.0),
    ),
    "another stage's events give no rate": (
        lines(prep_event(10, stage="gate"), prep_event(30)),
        PrepSeen(FETCH, None),
    ),
    "an unknown total": (
        lines(prep_event(10, None), prep_event(30, None)),
        PrepSeen(FETCH.model_copy(update={"total": None}), None),
    ),
    "it went back": (lines(prep_event(50), prep_event(30)), PrepSeen(FETCH, None)),
    "another run builds the same": (
        lines(prep_event(10), waiting_event("run-a")),
        PrepSeen(PrepStatus(stage="model", item="llava", waiting_for="run-a"), None),
    ),
    "it goes on after waiting": (lines(waiting_event(), prep_event(30)), PrepSeen(FETCH, None)),
    "the end is not a stage": (
        (*lines(prep_event(30)), *lines(PrepDone(num_records=1, num_dropped=0, path="/"))),
        PrepSeen(FETCH, None),
    ),
    "counts below zero and above all": (
        lines(prep_event(-5, -7)),
        PrepSeen(FETCH.model_copy(update={"done": 0, "total": 0}), None),
    ),
    "counts that no JSON reader keeps": (
        lines(prep_event(1, 10**400), prep_event(10**400, 10**400)),
        PrepSeen(FETCH.model_copy(update={"done": 2**53, "total": 2**53}), 0.0),
    ),
}


@pytest.mark.parametrize(("log", "want"), PREP_CASES.values(), ids=PREP_CASES)
def test_progress_of_prep(log: tuple[str, ...], want: PrepSeen | None) -> None:
    assert prep_progress(read_events(log, POD)) == want


def changed(event: Event, **values: float) -> tuple[str, ...]:
    """The event's line with values that the trainer itself cannot write."""
    return (json.dumps(json.loads(lines(event)[0]) | values),)


STEP = TrainingStatus(
    step=43, steps=200, loss=1.2346, samples_per_second=12.8, tokens_per_second=9876.5
)
NOTHING = TrainingSeen(status=None, checkpoint=None, eta_seconds=None, exported=False)
TRAINING_CASES = {
    "no line": ((), NOTHING),
    "other text": (("Loading checkpoint shards: 100%", "{}"), NOTHING),
    "about to begin": (
        lines(start_event(0)),
        replace(NOTHING, status=TrainingStatus(step=0, steps=200), first_step=0),
    ),
    "the newest step": (
        lines(start_event(0), step_event(42), step_event(43), failed_event("x", "y", 1)),
        replace(NOTHING, status=STEP, eta_seconds=1570.0, first_step=0),
    ),
    "a checkpoint, between steps": (
        lines(step_event(42), saved_event(42), step_event(43)),
        replace(
            NOTHING,
            status=STEP,
            eta_seconds=1570.0,
            checkpoint=CheckpointStatus(step=42, time="2026-03-01T11:59:50Z"),
            saves=(saved_event(42).model_copy(update={"time": NOW.timestamp() - 10}),),
        ),
    ),
    "exported": (
        lines(step_event(200), exported_event()),
        replace(
            NOTHING,
            status=STEP.model_copy(update={"step": 200}),
            eta_seconds=0.0,
            exported=True,
        ),
    ),
    "restarting: what was reached, at no pace": (
        lines(step_event(43), failed_event("x", "y", 137), restarting_event(2)),
        replace(
            NOTHING,
            status=TrainingStatus(step=43, steps=200, loss=1.2346, restarts=2),
            restarting=restarting_event(2, time=NOW.timestamp()),
        ),
    ),
    "restarting before the first step": (
        lines(start_event(), restarting_event()),
        replace(
            NOTHING,
            status=TrainingStatus(step=0, steps=200, restarts=1),
            first_step=0,
            restarting=restarting_event(time=NOW.timestamp()),
        ),
    ),
    "restarting before it had started": (
        lines(restarting_event()),
        replace(NOTHING, restarting=restarting_event(time=NOW.timestamp())),
    ),
    "restarted: it goes on from a checkpoint": (
        lines(step_event(43), restarting_event(), start_event(40, restarts=1)),
        replace(NOTHING, status=TrainingStatus(step=40, steps=200, restarts=1), first_step=40),
    ),
    "restarted, and new steps": (
        lines(
            exported_event(),
            restarting_event(),
            start_event(40, restarts=1),
            step_event(43, restarts=1, lost_seconds=61.04),
        ),
        replace(
            NOTHING,
            status=STEP.model_copy(update={"restarts": 1, "lost_seconds": 61.0}),
            eta_seconds=1570.0,
            first_step=40,
        ),
    ),
    "restarted, and the lines that say so are lost": (
        lines(step_event(43, restarts=1, lost_seconds=61.04)),
        replace(
            NOTHING,
            status=STEP.model_copy(update={"restarts": 1, "lost_seconds": 61.0}),
            eta_seconds=1570.0,
        ),
    ),
    "what was lost is known while it restarts again": (
        lines(step_event(43, restarts=1, lost_seconds=61.04), restarting_event(2)),
        replace(
            NOTHING,
            status=TrainingStatus(step=43, steps=200, loss=1.2346, restarts=2, lost_seconds=61.0),
            restarting=restarting_event(2, time=NOW.timestamp()),
        ),
    ),
    "another retry than there can be": (
        changed(restarting_event(), retry=-7) + lines(start_event()),
        replace(NOTHING, status=TrainingStatus(step=0, steps=200), first_step=0),
    ),
    "numbers that are none": (
        changed(step_event(43), loss=math.nan, samples_per_second=math.inf, eta_seconds=-math.inf),
        replace(
            NOTHING,
            status=STEP.model_copy(update={"loss": None, "samples_per_second": None}),
        ),
    ),
}


@pytest.mark.parametrize(("log", "want"), TRAINING_CASES.values(), ids=TRAINING_CASES)
def test_progress_of_training(log: tuple[str, ...], want: TrainingSeen) -> None:
    assert training_progress(read_events(log, POD)) == want


RESTARTS = [
    (None, ""),
    (TrainingStatus(step=1), ""),
    (TrainingStatus(restarts=1), "1 restart in place"),
    (TrainingStatus(restarts=2, lost_seconds=61.0), "2 restarts in place (1m lost)"),
]


@pytest.mark.parametrize(("training", "want"), RESTARTS)
def test_restarts_in_a_few_words(training: TrainingStatus | None, want: str) -> None:
    assert restarts_text(training) == want


def test_a_restart_in_one_line_whatever_failed() -> None:
    text = restarting_text(restarting_event(message="two\nlines", reason="Bad\x1b"))
    assert text.isprintable()
    assert text.startswith("starts its processes again in place, retry 1 of 2, from the last")


def test_a_checkpoint_of_no_possible_time() -> None:
    seen = training_progress(read_events(changed(saved_event(7), time=1e300), POD))
    assert seen.checkpoint == CheckpointStatus(step=7, time="1970-01-01T00:00:00Z")


@pytest.mark.parametrize("writer", [None, "", "uid-b", "UID-A", "uid-a "])
def test_an_event_of_another_writer_is_no_news(writer: str | None) -> None:
    """A name in data with a line of its own, a library, an earlier pod whose log is quoted."""
    own, other = prep_event(30), prep_event(99)
    log = lines(
        own.model_copy(update={"writer": "uid-a"}), other.model_copy(update={"writer": writer})
    )
    assert read_events(log, TOLD) == read_events(log[:1], POD)
    assert prep_progress(read_events(log, TOLD)) == PrepSeen(FETCH, None)
    assert read_events(log[1:], TOLD) == ()


def test_without_a_pod_there_are_no_events() -> None:
    assert read_events(lines(prep_event(30)), None) == ()


PERCENT = [
    (None, 10, None),
    (3, None, None),
    (0, 0, None),
    (0, 7, "0%"),
    (1, 3, "33%"),
    (999, 1000, "99%"),
    (2**53 - 1, 2**53, "99%"),
    (1000, 1000, "100%"),
    (1001, 1000, "100%"),
]


@pytest.mark.parametrize(("done", "total", "want"), PERCENT)
def test_percent(done: int | None, total: int | None, want: str | None) -> None:
    assert percent_text(done, total) == want


@given(st.integers(0, 10**7), st.integers(1, 10**7))
def test_all_is_said_of_all_alone(done: int, total: int) -> None:
    assert (percent_text(done, total) == "100%") == (done >= total)


ETA = [
    (None, None),
    (-5, "0s"),
    (0, "0s"),
    (0.2, "1s"),
    (59, "59s"),
    (59.1, "1m"),
    (3599, "59m"),
    (3600, "1h00m"),
    (11_100, "3h05m"),
    (86_399, "23h59m"),
    (86_400, "1d00h"),
    (187_200, "2d04h"),
    (99.99 * 86_400, "99d23h"),
    (1e300, "99d23h"),
]


@pytest.mark.parametrize(("seconds", "want"), ETA)
def test_eta(seconds: float | None, want: str | None) -> None:
    assert eta_text(seconds) == want


@given(st.floats(0, allow_nan=False, allow_infinity=False))
def test_eta_fits_its_column(seconds: float) -> None:
    assert 2 <= len(eta_text(seconds) or "") <= 6


# Lines that nearly are events: any value in any field, and text that is no line at all.
_SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
    | st.sampled_from([10**400, -(10**400), 1e308])
)  # fmt: skip
_ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "name": st.text(max_size=2) | st.sampled_from(["labels", "n" * 999]),
            "state": st.sampled_from(["Waiting", "Fetching", "Extracting", "Ready", "Cached"]),
        },
        optional={"done": _SCALARS, "total": _SCALARS, "unit": st.sampled_from(["bytes", "files"])},
    ),
    max_size=MAX_SOURCES + 2,
)
_EVENTS = [
    json.loads(line)
    for line in lines(prep_event(1), waiting_event(), start_event(), step_event(1), saved_event(1))
]


@st.composite
def _nearly_events(draw: st.DrawFn) -> str:
    event = dict(draw(st.sampled_from(_EVENTS)))
    for key in draw(st.lists(st.sampled_from(sorted(event)), max_size=3)):
        event[key] = draw(_SCALARS)
    if draw(st.booleans()):
        event["sources"] = draw(_ROWS)
    return json.dumps(event, ensure_ascii=draw(st.booleans()))


@given(st.lists(_nearly_events() | st.text(max_size=20), max_size=6))
def test_no_line_can_do_harm(log: list[str]) -> None:
    events = read_events(log, POD)
    prep, training = prep_progress(events), training_progress(events)
    for eta in (prep.eta_seconds if prep else None, training.eta_seconds):
        assert len(eta_text(eta) or "") <= 6
    if prep:
        names = [each.name for each in prep.status.sources or ()]
        assert len(names) == len({*names}) <= MAX_SOURCES
    counts = training.status or TrainingStatus()
    assert 0 <= (counts.step or 0) <= 2**53
