"""The life of a run as a story: what is there, what the status says then, which events are posted.

Golden, because its order and its times are what people read: `--update-golden` rewrites it.
"""

from collections.abc import Iterator
from datetime import timedelta

import yaml

from qinstruct_operator.api.status import Status
from qinstruct_operator.core.judge import transitions
from qinstruct_operator.core.judge.observe import Snapshot
from qinstruct_operator.reconcile import status_json
from qinstruct_trainer.contract.events import Event
from support.observed import (
    COMPLETE,
    NOW,
    RUN,
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
    running,
    saved_event,
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
    "nothing is there": Snapshot(),
    "the prep Job is created": Snapshot(config=config_map(), prep=PREP, claims=CLAIMS),
    "its pod waits": Snapshot(
        config=config_map(), prep=PREP, claims=CLAIMS, pods=(pod(PREP, node=None),)
    ),
    "its pod has a node": Snapshot(prep=PREP, pods=(pod(PREP, waiting(), node="cpu-1"),)),
    "prep runs": Snapshot(prep=PREP, pods=(PREP_RUNS,)),
    "prep fetches": Snapshot(prep=PREP, pods=(PREP_RUNS,), log=FETCHING),
    "prep indexes": Snapshot(prep=PREP, pods=(PREP_RUNS,), log=INDEXING),
    "prep has succeeded": Snapshot(prep=DONE, config=config_map(), claims=CLAIMS),
    "the PyTorchJob is created": Snapshot(training=JOB, config=config_map(), claims=CLAIMS),
    "no node has the GPUs": Snapshot(
        training=JOB,
        config=config_map(),
        claims=CLAIMS,
        pods=(pod(JOB, None, UNSCHEDULED, node=None),),
    ),
    "a node has them": Snapshot(training=JOB, pods=(pod(JOB, waiting()),)),
    "the container runs": Snapshot(training=JOB, pods=(RUNS,)),
    "it trains": Snapshot(training=JOB, pods=(RUNS,), log=TRAINING),
    "it exports": Snapshot(training=JOB, pods=(RUNS,), log=EXPORTING),
    "the container has ended": Snapshot(training=JOB, pods=(HAS_ENDED,), log=ENDED),
    "the PyTorchJob has succeeded": Snapshot(training=JOB_DONE, pods=(HAS_ENDED,), log=ENDED),
    "an hour later": Snapshot(),
}


def test_the_life_of_a_run(update_golden: bool) -> None:
    text = "".join(
        f"--- # {title}\n{yaml.safe_dump(told, sort_keys=False, width=100)}"
        for title, told in zip(STORY, _told(), strict=True)
    )
    if update_golden:
        GOLDEN.parent.mkdir(parents=True, exist_ok=True)
        GOLDEN.write_text(text, "utf-8")
    assert text == GOLDEN.read_text("utf-8")


def _told() -> Iterator[dict[str, object]]:
    """What changes with each page of the story, a minute a page."""
    status = Status()
    for minute, snapshot in enumerate(STORY.values()):
        now = NOW + timedelta(minutes=minute)
        before, status = status, status_of(snapshot, status, now=now)
        old, new = status_json(before), status_json(status)
        events = transitions.events(RUN, before, status, now)
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
