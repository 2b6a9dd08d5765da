"""Parse a pod's JSON into frozen values. Pure.

The API server's own metadata are trusted; the rest is read leniently: a missing key, or one of
another type, never raises.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from qinstruct_operator.constants import PREP_CONTAINER
from qinstruct_operator.core.backends import BACKENDS
from qinstruct_operator.core.safe_text import one_line
from qinstruct_operator.core.times import parse_time
from qinstruct_operator.core.untyped_json import (
    Raw,
    at,
    conditions_of,
    is_controlled_by,
    number,
    objects,
    text,
)

_WORD_CHARS = 253  # as long as a name; a reason is shorter
OWN_CONTAINERS: Final = (PREP_CONTAINER, *(each.container for each in BACKENDS.values()))
"""Names of the containers that are ours, whatever else webhooks put into a pod."""


@dataclass(frozen=True)
class Container:
    """Our container in a pod; exit_code None while it has not ended."""

    state: Literal["waiting", "running", "terminated"]
    reason: str = ""
    message: str = ""
    exit_code: int | None = None
    started: datetime | None = None
    finished: datetime | None = None


@dataclass(frozen=True)
class Pod:
    """A pod of a child.

    Attributes:
        reason, message: the pod's own, e.g. Evicted.
        unschedulable: the scheduler's message, empty where there is none.
        disruption: reason of the condition DisruptionTarget, e.g. PreemptionByScheduler.
        has_sandbox: its volumes and its network are ready; only the image is missing.
        sidecars: names of other containers that run, as far as the pod's status says.
    """

    name: str
    phase: str
    node: str | None
    created: str
    reason: str = ""
    message: str = ""
    unschedulable: str = ""
    disruption: str = ""
    has_sandbox: bool = False
    sidecars: tuple[str, ...] = ()
    container: Container | None = None

    @property
    def is_over(self) -> bool:
        """Whether its container will never run (again)."""
        ended = self.container is not None and self.container.state == "terminated"
        return ended or self._has_verdict

    @property
    def is_held_open(self) -> bool:
        """Whether only injected containers keep it running: it ends when they do."""
        return self.is_over and bool(self.sidecars) and not self._has_verdict

    @property
    def has_started(self) -> bool:
        """Whether its container runs, or has run."""
        return self.container is not None and self.container.state != "waiting"

    @property
    def is_running(self) -> bool:
        """Whether its container runs."""
        return self.container is not None and self.container.state == "running"

    @property
    def has_failed(self) -> bool:
        """Whether it ended badly."""
        return self.phase == "Failed" or bool(self.container and self.container.exit_code)

    @property
    def _has_verdict(self) -> bool:
        return self.phase in ("Succeeded", "Failed")


def newest_pod(workload: Raw, pods: Iterable[Raw]) -> Raw | None:
    """A workload's newest pod, by creation and then by name."""
    own = [pod for pod in pods if is_controlled_by(pod, workload["metadata"]["uid"])]
    return max(own, key=lambda pod: (_created(pod), pod["metadata"]["name"]), default=None)


def read_pod(raw: Raw) -> Pod:
    """The pod in an object."""
    conditions = conditions_of(raw)
    scheduled = conditions.get("PodScheduled", {})
    disruption = conditions.get("DisruptionTarget", {})
    sandbox = conditions.get("PodReadyToStartContainers", {})
    # By name: admission webhooks add containers, and the kubelet sorts all of them.
    statuses = objects(raw, "status", "containerStatuses")
    own = next((each for each in statuses if text(each, "name") in OWN_CONTAINERS), None)
    others = [each for each in statuses if text(each, "name") not in OWN_CONTAINERS]
    return Pod(
        name=text(raw, "metadata", "name"),
        phase=text(raw, "status", "phase") or "Pending",
        node=_word(text(raw, "spec", "nodeName")) or None,
        created=_created(raw),
        reason=_word(text(raw, "status", "reason")),
        message=text(raw, "status", "message"),
        unschedulable=text(scheduled, "message") if scheduled.get("status") == "False" else "",
        disruption=_word(text(disruption, "reason")) if disruption.get("status") == "True" else "",
        has_sandbox=sandbox.get("status") == "True",
        sidecars=tuple(
            _word(text(each, "name")) for each in others if at(each, "state", "running") is not None
        ),
        container=_container(own) if own else None,
    )


def own_container(raw: Raw) -> str:
    """The name of our container in the pod's spec; empty where there is none."""
    named = (text(each, "name") for each in objects(raw, "spec", "containers"))
    return next((name for name in named if name in OWN_CONTAINERS), "")


def _container(raw: Raw) -> Container:
    if ended := at(raw, "state", "terminated"):
        return Container(
            "terminated",
            reason=_word(text(ended, "reason")),
            message=text(ended, "message"),
            exit_code=number(ended, "exitCode"),
            started=parse_time(text(ended, "startedAt")),
            finished=parse_time(text(ended, "finishedAt")),
        )
    if (running := at(raw, "state", "running")) is not None:
        return Container("running", started=parse_time(text(running, "startedAt")))
    waiting = at(raw, "state", "waiting")
    return Container("waiting", _word(text(waiting, "reason")), text(waiting, "message"))


def _word(text: str) -> str:
    """A name or a reason, sanitized, since a status is printed to terminals."""
    return one_line(text)[:_WORD_CHARS]


def _created(raw: Raw) -> str:
    return text(raw, "metadata", "creationTimestamp")
