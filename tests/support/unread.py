"""Snapshots of passes in which parts could not be read."""

from dataclasses import replace
from typing import Any, Final

from qinstruct_operator.core.judge.observe import Part, Snapshot
from support.observed import (
    COMPLETE,
    lines,
    pod,
    prep_job,
    pytorchjob,
    running,
    saved_event,
    start_event,
    step_event,
)

SAID: Final[dict[Part, str]] = {
    "prep": "get Job team/x-prep: jobs.batch is forbidden",
    "training": "get PyTorchJob team/x-1: the server is currently unable to handle the request",
    "pods": "list pods of team: pods is forbidden",
    "support": "get ConfigMap team/x-config: configmaps is forbidden",
    "node": "get Node node-1: no answer from https://10.0.0.1:443",
    "log": "read the log of Pod team/x-1-master-0: dial tcp 10.0.0.5:10250: i/o timeout",
    "events": "list events of team: events is forbidden",
}
DONE, JOB = prep_job(COMPLETE), pytorchjob()
TRAINING_LOG = lines(start_event(), step_event(40), saved_event(40), step_event(43))
TRAINS = Snapshot(prep=DONE, training=JOB, pods=(pod(JOB, running()),), log=TRAINING_LOG)


def drop(snapshot: Snapshot, *parts: Part, said: dict[Part, str] = SAID) -> Snapshot:
    """The snapshot of a pass in which these reads failed."""
    nothing: dict[Part, Any] = {
        "prep": None, "training": None, "pods": (), "support": {}, "log": (), "events": (),
        "node": None,
    }  # fmt: skip
    of_pods: tuple[Part, ...] = ("log", "node") if "pods" in parts else ()  # nor were these tried
    lost: dict[str, Any] = {part: nothing[part] for part in (*parts, *of_pods)}
    return replace(snapshot, unread={part: said[part] for part in parts}, **lost)
