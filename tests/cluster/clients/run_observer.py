"""Who has seen all that happened to the runs of a cluster, and says what should not have.

One run a namespace, all of the same name. What must hold of a complete run, whatever was done to
the operator meanwhile: one prep Job and one PyTorchJob were ever created, no condition took back
what it said, and every condition that came true was told once, in one event.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from cluster.clients.watch import Watch, open_watch
from cluster.harness.processes import wait_until
from cluster.harness.testcluster import TestCluster
from qinstruct_operator.constants import API_VERSION, FIELD_MANAGER, PLURAL

Json = dict[str, Any]

_UNTOLD: Final = ("Pending", "Starting", "Finished")
"""Phases that pass in the normal course of things, and have no event."""
_LASTING: Final = ("Accepted", "Prepared", "Scheduled", "Complete")
"""Conditions that, once true, stay so; in the order in which they come true."""


@dataclass(frozen=True)
class RunObserver:
    """Every state of the runs, of their jobs, and every event."""

    trainings: Watch
    jobs: Watch
    pytorchjobs: Watch
    events: Watch

    def is_complete(self, namespace: str) -> bool:
        """Whether the namespace's run has ended well."""
        states = _states(self.trainings, namespace)
        return bool(states) and _is_true(states[-1], "Complete")

    def wait_complete(self, namespace: str, seconds: float = 90) -> None:
        """Return when the namespace's run has ended well."""
        wait_until(lambda: self.is_complete(namespace), f"{namespace}: Complete", seconds)

    def phases(self, namespace: str) -> list[str]:
        """The words that `kubectl get` has shown, in order, each once in a row."""
        shown = [_status(state).get("phase", "") for state in _states(self.trainings, namespace)]
        return [one for before, one in pairwise([None, *shown]) if one and one != before]

    def violations(self, namespace: str) -> list[str]:
        """What is wrong with the namespace's run, a sentence each."""
        return [
            *_about_children("prep Job", _states(self.jobs, namespace)),
            *_about_children("PyTorchJob", _states(self.pytorchjobs, namespace)),
            *_about_statuses(_states(self.trainings, namespace)),
            *self._about_events(namespace),
        ]

    def _about_events(self, namespace: str) -> Iterator[str]:
        told = Counter(
            {
                uid: (event["reason"], event["message"]) for uid, event in self._told(namespace)
            }.values()
        )
        yield from (f"{said} was told {times} times" for said, times in told.items() if times > 1)
        states = _states(self.trainings, namespace)
        came_true = {
            (condition["reason"], condition["message"])
            for state in states
            for condition in _status(state).get("conditions", ())
            if condition["status"] == "True"
        }
        by_reason = {reason for reason, _ in came_true}
        yield from (f"{one} was never seen" for one in _LASTING if one not in by_reason)
        yield from (f"{said} was never told" for said in sorted(came_true) if said not in told)
        reasons = {*_UNTOLD, *(reason for reason, _ in told)}
        yield from (f"{one} was never told" for one in self.phases(namespace) if one not in reasons)

    def _told(self, namespace: str) -> Iterator[tuple[str, Json]]:
        for event in _states(self.events, namespace):
            ours = event.get("source", {}).get("component") == FIELD_MANAGER
            if ours and event["involvedObject"]["kind"] == "QInstructTraining":
                yield event["metadata"]["uid"], event


@contextmanager
def observe_runs(cluster: TestCluster) -> Iterator[RunObserver]:
    """Watch the whole cluster until the end of the block."""
    with ExitStack() as stack:
        yield RunObserver(
            *(
                stack.enter_context(open_watch(cluster.api, path))
                for path in (
                    f"/apis/{API_VERSION}/{PLURAL}",
                    "/apis/batch/v1/jobs",
                    "/apis/kubeflow.org/v1/pytorchjobs",
                    "/api/v1/events",
                )
            )
        )


def _states(watch: Watch, namespace: str) -> list[Json]:
    found = [change.object for change in list(watch.changes) if change.type != "DELETED"]
    return [one for one in found if one["metadata"]["namespace"] == namespace]


def _status(state: Json) -> Json:
    status: Json = state.get("status") or {}
    return status


def _condition(state: Json, type_: str) -> Json:
    found = [one for one in _status(state).get("conditions", ()) if one["type"] == type_]
    return found[0] if found else {}


def _is_true(state: Json, type_: str) -> bool:
    return _condition(state, type_).get("status") == "True"


def _about_children(what: str, states: list[Json]) -> Iterator[str]:
    uids = {one["metadata"]["uid"] for one in states}
    if len(uids) != 1:
        yield f"{len(uids)} objects were ever created as {what}"


def _about_statuses(states: list[Json]) -> Iterator[str]:
    for before, after in pairwise(states):
        for type_ in _LASTING:
            old, new = _condition(before, type_), _condition(after, type_)
            same = ("status", "lastTransitionTime")
            if old.get("status") == "True" and any(old[key] != new.get(key) for key in same):
                yield f"{type_} was {old} and became {new}"
    if any(_is_true(state, "Failed") for state in states):
        yield "Failed was true"
    times_begun = sum(
        _is_true(after, "Running") and not _is_true(before, "Running")
        for before, after in pairwise(states)
    )
    if times_begun > 1:
        yield f"Running came true {times_begun} times"
    for state in states:
        if _status(state) and _status(state).get("observedGeneration") != 1:
            yield f"observedGeneration is {_status(state).get('observedGeneration')}"
