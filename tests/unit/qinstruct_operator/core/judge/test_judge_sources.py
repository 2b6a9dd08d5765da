"""The sources in the status of a run: kept, at work or not, and over."""

from dataclasses import replace

import pytest

from qinstruct_operator.api.status import SourceStatus, Status
from qinstruct_operator.core.judge.observe import Part, Snapshot
from qinstruct_operator.core.judge.transitions import is_news
from qinstruct_trainer.contract.events import PrepProgress, SourceProgress
from support.observed import (
    COMPLETE,
    condition,
    ended,
    failed_event,
    lines,
    pod,
    prep_job,
    running,
    status_of,
    waiting_event,
)

PREP, DONE = prep_job(), prep_job(COMPLETE)
TABLE = (
    SourceProgress(name="labels", state="Cached", total=50),
    SourceProgress(name="images", state="Fetching", done=0, total=1000),
    SourceProgress(name="more", state="Waiting", total=500),
)
FETCHING = tuple(
    PrepProgress(stage="fetch", item="images", done=done, total=1000, unit="bytes")
    for done in (100, 200, 300)
)
LOG = lines(FETCHING[0].model_copy(update={"sources": TABLE}), *FETCHING[1:])
AT_WORK = Snapshot(prep=PREP, pods=(pod(PREP, running()),), log=LOG)
SEEN = status_of(AT_WORK)


def rows(status: Status) -> tuple[SourceStatus, ...]:
    assert status.prep
    assert status.prep.sources
    return status.prep.sources


def etas(status: Status) -> list[str | None]:
    assert status.prep
    return [*(row.eta for row in rows(status)), status.prep.downloads_eta]


def test_prep_at_work() -> None:
    assert rows(SEEN) == (
        SourceStatus(name="labels", state="Cached", total=50, unit="bytes"),
        SourceStatus(name="images", state="Fetching", done=300, total=1000, unit="bytes", eta="1m"),
        SourceStatus(name="more", state="Waiting", total=500, unit="bytes"),
    )
    assert SEEN.prep
    assert SEEN.prep.downloads_eta == "2m"
    assert not is_news(SEEN, status_of(AT_WORK, SEEN)), "the same lines were worth a write"


HIDDEN = {
    "the table is cut off": LOG[1:],
    "other lines have come": (*["reading"] * 200, *LOG[2:]),
    "an older version of the trainer": lines(*FETCHING),
}


@pytest.mark.parametrize("log", HIDDEN.values(), ids=HIDDEN)
def test_what_the_end_of_a_log_does_not_say_is_kept(log: tuple[str, ...]) -> None:
    status = status_of(replace(AT_WORK, log=log), SEEN)
    assert [(row.name, row.state, row.done) for row in rows(status)] == [
        (row.name, row.state, row.done) for row in rows(SEEN)
    ]
    assert etas(status) == [None] * 4
    assert status.prep
    assert status.prep.done == 300


def test_of_an_older_trainer_there_is_none() -> None:
    status = status_of(replace(AT_WORK, log=lines(*FETCHING)))
    assert status.prep
    assert (status.prep.sources, status.prep.done) == (None, 300)


STILL = {
    "another run builds it": replace(AT_WORK, log=(*LOG, *lines(waiting_event()))),
    "its pod has failed": Snapshot(
        prep=PREP, pods=(pod(PREP, ended(74)),), log=(*LOG, *lines(failed_event("x", "y", 74)))
    ),
    "its pod is gone": Snapshot(prep=PREP),
    "it has failed for good": Snapshot(
        prep=prep_job(condition("Failed", "BackoffLimitExceeded", "6 times")),
        pods=(pod(PREP, ended(74)),),
        log=LOG,
    ),
}


@pytest.mark.parametrize("snapshot", STILL.values(), ids=STILL)
def test_what_is_not_at_work_does_not_come_nearer(snapshot: Snapshot) -> None:
    status = status_of(snapshot, SEEN)
    assert len(rows(status)) == len(TABLE)
    assert etas(status) == [None] * 4


@pytest.mark.parametrize("part", ["log", "pods", "prep"])
def test_what_cannot_be_read_stays_as_it_was(part: Part) -> None:
    unread = None if part == "prep" else PREP
    pods = AT_WORK.pods if part == "log" else ()
    status = status_of(Snapshot(prep=unread, pods=pods, unread={part: "no"}), SEEN)
    assert status.prep == SEEN.prep


def test_when_data_are_prepared_all_are_ready() -> None:
    """Whatever was seen last: the log of a Job that has succeeded is not read any more."""
    status = status_of(Snapshot(prep=DONE), SEEN)
    assert [(row.state, row.done, row.total) for row in rows(status)] == [
        ("Cached", None, 50),
        ("Ready", 1000, 1000),
        ("Ready", None, 500),
    ]
    assert etas(status) == [None] * 4
    assert status_of(Snapshot(prep=DONE), status).prep == status.prep
