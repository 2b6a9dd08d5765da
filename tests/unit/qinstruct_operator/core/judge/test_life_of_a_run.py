"""The life of a run as a story: what is there, what the status says then, which events are posted.

Golden, because its order and its times are what people read: `--update-golden` rewrites it.
"""

from collections.abc import Iterator
from datetime import timedelta

import yaml

from qinstruct_operator.api.status import Status
from qinstruct_operator.core.judge.transitions import transition_events
from qinstruct_operator.reconcile import status_json
from qinstruct_trainer.contract.events import Event
from support.observed import (
    COMPLETE,
    NOW,
    SUCCEEDED,
    claim,
    complete_event,
    condition,
    config_map,
    ended,
    exported_event,
    lines,
    pod,
    prep_event,
    prep_job,
    pytorchjob,
    run_of,
    running,
    saved_event,
    snapshot_of,
    start_event,
    status_of,
    step_event,
    waiting,
)
from support.operator_documents import ROOT

GOLDEN = ROOT / "tests" / "golden" / "status" / "life-of-a-run.yaml"
PREP, DONE, JOB, JOB_DONE = (
    prep_job(),
    prep_job(COMPLETE),
    pytorchjob(),
    pytorchjob(SUCCEEDED),
)
CLAIMS = {"x-output": claim(), "qinstruct-cache": claim("qinstruct-cache")}
UNSCHEDULED = condition("PodScheduled", "Unschedulable", "0/2 nodes are available.", "False")


def said(minute: int, *events: Event) -> tuple[str, ...]:
    return lines(*events, until=NOW + timedelta(minutes=minute))


FETCHING = said(5, prep_event(10), prep_event(20))
INDEXING = (*FETCHING, *said(6, prep_event(100), prep_event(99, stage="index")))
TRAINING = said(12, start_event(), step_event(1), step_event(100), saved_event(100))
EXPORTING = (*TRAINING, *said(13, step_event(199), step_event(200), exported_event()))
ENDED = (*EXPORTING, *said(14, complete_event()))
PREP_RUNS = pod(PREP, running(-4), node="cpu-1")
RUNS = pod(JOB, running(-11))
HAS_ENDED = pod(JOB, ended(ran=(-11, -14)))

# One page a minute.
STORY = {
    "nothing is there": snapshot_of(),
    "the prep Job is created": snapshot_of(config=config_map(), prep=PREP, claims=CLAIMS),
    "its pod waits": snapshot_of(
        config=config_map(), prep=PREP, claims=CLAIMS, pods=(pod(PREP, node=None),)
    ),
    "its pod has a node": snapshot_of(prep=PREP, pods=(pod(PREP, waiting(), node="cpu-1"),)),
    "prep runs": snapshot_of(prep=PREP, pods=(PREP_RUNS,)),
    "prep fetches": snapshot_of(prep=PREP, pods=(PREP_RUNS,), log=FETCHING),
    "prep indexes": snapshot_of(prep=PREP, pods=(PREP_RUNS,), log=INDEXING),
    "prep has succeeded": snapshot_of(prep=DONE, config=config_map(), claims=CLAIMS),
    "the PyTorchJob is created": snapshot_of(training=JOB, config=config_map(), claims=CLAIMS),
    "no node has the GPUs": snapshot_of(
        training=JOB,
        config=config_map(),
        claims=CLAIMS,
        pods=(pod(JOB, None, UNSCHEDULED, node=None),),
    ),
    "a node has them": snapshot_of(training=JOB, pods=(pod(JOB, waiting()),)),
    "the container runs": snapshot_of(training=JOB, pods=(RUNS,)),
    "it trains": snapshot_of(training=JOB, pods=(RUNS,), log=TRAINING),
    "it exports": snapshot_of(training=JOB, pods=(RUNS,), log=EXPORTING),
    "the container has ended": snapshot_of(training=JOB, pods=(HAS_ENDED,), log=ENDED),
    "the PyTorchJob has succeeded": snapshot_of(training=JOB_DONE, pods=(HAS_ENDED,), log=ENDED),
    "an hour later": snapshot_of(),
}


def test_the_life_of_a_run(update_golden: bool) -> None:
    text = "".join(
        f"--- # {title}\n{yaml.safe_dump(page, sort_keys=False, width=100)}"
        for title, page in zip(STORY, _pages(), strict=True)
    )
    if update_golden:
        GOLDEN.parent.mkdir(parents=True, exist_ok=True)
        GOLDEN.write_text(text, "utf-8")
    assert text == GOLDEN.read_text("utf-8")


def _pages() -> Iterator[dict[str, object]]:
    """What changes with each page of the story, a minute a page."""
    status = Status()
    for minute, snapshot in enumerate(STORY.values()):
        now = NOW + timedelta(minutes=minute)
        before, status = status, status_of(snapshot, status, now=now)
        old, new = status_json(before), status_json(status)
        events = transition_events(run_of(before), status, now)
        yield {
            **{
                key: value
                for key, value in new.items()
                if key != "conditions" and old.get(key) != value
            },
            **{f"no {key} any more": True for key in old if key not in new},
            "conditions": [
                f"{each['type']}={each['status']} {each['reason']} since "
                f"{each['lastTransitionTime'][11:16]}: {each['message']}"
                for each in new["conditions"]
                if each not in old.get("conditions", [])
            ],
            "events": [f"{each['type']} {each['reason']}: {each['message']}" for each in events],
        }
