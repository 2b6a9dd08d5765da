"""Observes everything that happens to the runs of a cluster, and checks invariants of each.

There is one run in a namespace, and all have the same name. The invariants of a complete run,
whatever was done to the operator meanwhile: exactly one prep Job and one PyTorchJob were created,
no lasting condition became false again, and each condition that became true has exactly one event.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from cluster.clients.watch import Watch, open_watch
from cluster.harness.processes import wait_until
from cluster.harness.testcluster import TestCluster
from qinstruct_operator.constants import API_VERSION, FIELD_MANAGER, PLURAL

Json = dict[str, Any]

_WITHOUT_EVENT: Final = ("Pending", "Starting", "Finished")
"""Phases that have no event."""
_LASTING: Final = ("Accepted", "Prepared", "Scheduled", "Complete")
"""Conditions that stay true, in the order in which they become true."""
_LAG: Final = 5.0  # seconds that one watch may be behind another


@dataclass(frozen=True)
class RunObserver:
    """Every state of the runs and of their jobs, and every event."""

    trainings: Watch
    jobs: Watch
    pytorchjobs: Watch
    events: Watch

    def is_complete(self, namespace: str) -> bool:
        """Whether the namespace's run is complete."""
        states = _states(self.trainings, namespace)
        return bool(states) and _is_true(states[-1], "Complete")

    def wait_complete(self, namespace: str, seconds: float = 90) -> None:
        """Return when the namespace's run is complete."""
        wait_until(lambda: self.is_complete(namespace), f"{namespace}: Complete", seconds)

    def phases(self, namespace: str) -> list[str]:
        """The phases of the namespace's run, in order, without repetitions."""
        shown = [_status(state).get("phase", "") for state in _states(self.trainings, namespace)]
        return [one for before, one in pairwise([None, *shown]) if one and one != before]

    def violations(self, namespace: str) -> list[str]:
        """What is wrong with the namespace's run, a sentence each."""
        with suppress(TimeoutError):
            wait_until(lambda: not self._violations(namespace), "all watches have caught up", _LAG)
        return self._violations(namespace)

    def _violations(self, namespace: str) -> list[str]:
        return [
            *_about_children("prep Job", _states(self.jobs, namespace)),
            *_about_children("PyTorchJob", _states(self.pytorchjobs, namespace)),
            *_about_statuses(_states(self.trainings, namespace)),
            *self._about_events(namespace),
        ]

    def _about_events(self, namespace: str) -> Iterator[str]:
        posted = Counter(
            {
                uid: (event["reason"], event["message"])
                for uid, event in self._own_events(namespace)
            }.values()
        )
        yield from (
            f"{event} was posted {times} times" for event, times in posted.items() if times > 1
        )
        states = _states(self.trainings, namespace)
        came_true = {
            (condition["reason"], condition["message"])
            for state in states
            for condition in _status(state).get("conditions", ())
            if condition["status"] == "True"
        }
        by_reason = {reason for reason, _ in came_true}
        yield from (f"{one} was never seen" for one in _LASTING if one not in by_reason)
        yield from (
            f"{event} was never posted" for event in sorted(came_true) if event not in posted
        )
        reasons = {*_WITHOUT_EVENT, *(reason for reason, _ in posted)}
        yield from (
            f"{one} was never posted" for one in self.phases(namespace) if one not in reasons
        )

    def _own_events(self, namespace: str) -> Iterator[tuple[str, Json]]:
        for event in _states(self.events, namespace):
            ours = event.get("source", {}).get("component") == FIELD_MANAGER
            if ours and event["involvedObject"]["kind"] == "QInstructTraining":
                yield event["metadata"]["uid"], event


@contextmanager
def observe_runs(cluster: TestCluster) -> Iterator[RunObserver]:
    """Observe the whole cluster until the end of the block."""
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
