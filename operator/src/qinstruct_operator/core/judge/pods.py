"""Parse a pod's JSON into frozen values. Pure.

The API server's own metadata are trusted; the rest is read leniently: a missing key, or one of
another type, never raises.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Literal

from qinstruct_operator.constants import GPU_RESOURCE, PREP_CONTAINER
from qinstruct_operator.core.backends import BACKENDS
from qinstruct_operator.core.times import parse_time
from qinstruct_operator.core.untyped_json import (
    Raw,
    at,
    conditions_of,
    is_controlled_by,
    last_write,
    number,
    objects,
    text,
)
from qinstruct_trainer.contract.events import WRITER_ENV
from qinstruct_trainer.contract.safe_text import one_line

_WORD_CHARS = 253  # as long as a name; a reason is shorter
_GPU_COUNT = re.compile(r"[0-9]{1,4}")
OWN_CONTAINERS: Final = (PREP_CONTAINER, *(each.container for each in BACKENDS.values()))
"""Names of the containers that are ours, whatever else webhooks put into a pod."""


@dataclass(frozen=True)
class Container:
    """A container in a pod; exit_code None while it has not ended."""

    state: Literal["waiting", "running", "terminated"]
    reason: str = ""
    message: str = ""
    exit_code: int | None = None
    started: datetime | None = None
    finished: datetime | None = None
    name: str = ""


@dataclass(frozen=True)
class InitContainer:
    """A container that stands before ours, and not yet out of its way.

    Attributes:
        is_sidecar: it need not end, but start (restartPolicy Always).
        state: its present one.
        before: how it ended the last time; None where it has not.
        restarts: how often it was started again.
    """

    name: str
    is_sidecar: bool
    state: Container
    before: Container | None = None
    restarts: int = 0


@dataclass(frozen=True)
class Pod:
    """A pod of a child.

    Attributes:
        reason, message: the pod's own, e.g. Evicted.
        unschedulable: the scheduler's message, empty where there is none.
        gates: names of the scheduling gates that keep it from the scheduler.
        disruption: reason of the condition DisruptionTarget, e.g. PreemptionByScheduler.
        has_sandbox: its volumes and its network are ready; only the image is missing.
        init: the init containers that are still to end, or to start, before ours.
        container: ours.
        beside: the other containers, init containers excepted.
        uid: of this pod, whatever others have its name.
        deleted: since when it is being deleted; None where it is not.
        gone_by: when it must have ended by then, its grace period included.
        cut_off: since when its node's controller, not its kubelet, says that it is not Ready.
        scheduled: when it got its node, by the scheduler's clock.
        accepted: when its kubelet took it, by its node's clock.
        ended: when its last container ended, by its node's clock.
        given_up: when the cluster said that it is over, of a pod whose node did not.
        gpus: how many its containers hold; None where its spec does not say.
        unseen_by: the scheduler that has not looked at it; empty once one has.
        changed: when anything of it was written last; None where it does not say.
        writer: what the events of our container carry, its own uid; None where it was not told
            so, since an older version made it.
    """

    name: str
    phase: str
    node: str | None
    created: str
    reason: str = ""
    message: str = ""
    unschedulable: str = ""
    gates: tuple[str, ...] = ()
    disruption: str = ""
    has_sandbox: bool = False
    init: tuple[InitContainer, ...] = ()
    container: Container | None = None
    beside: tuple[Container, ...] = ()
    uid: str = ""
    deleted: datetime | None = None
    gone_by: datetime | None = None
    cut_off: datetime | None = None
    scheduled: datetime | None = None
    accepted: datetime | None = None
    ended: datetime | None = None
    given_up: datetime | None = None
    gpus: int | None = None
    unseen_by: str = ""
    changed: datetime | None = None
    writer: str | None = None

    @property
    def is_over(self) -> bool:
        """Whether its container will never run (again)."""
        ended = self.container is not None and self.container.state == "terminated"
        return ended or self.has_verdict

    @property
    def is_held_open(self) -> bool:
        """Whether only injected containers keep it running: it ends when they do."""
        return self.is_over and bool(self.sidecars) and not self.has_verdict

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
    def failed_init(self) -> InitContainer | None:
        """The init container that ended badly, the first of them."""
        return next((each for each in self.init if each.state.exit_code), None)

    @property
    def sidecars(self) -> tuple[str, ...]:
        """Names of the containers beside ours that have not ended, so that the pod does not."""
        return tuple(each.name for each in self.beside if each.state != "terminated")

    @property
    def failed_beside(self) -> tuple[Container, ...]:
        """The containers beside ours that ended badly, where ours did not."""
        if self.container is not None and self.container.exit_code:
            return ()
        return tuple(each for each in self.beside if each.exit_code)

    @property
    def has_verdict(self) -> bool:
        """Whether the cluster says that it is over, with all its containers."""
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
    container = _container(at(own, "state"), own) if own else None
    has_verdict = text(raw, "status", "phase") in ("Succeeded", "Failed")
    gates = tuple(_word(text(each, "name")) for each in objects(raw, "spec", "schedulingGates"))
    unschedulable = scheduled.get("status") == "False" and not gates
    return Pod(
        name=text(raw, "metadata", "name"),
        phase=text(raw, "status", "phase") or "Pending",
        node=_word(text(raw, "spec", "nodeName")) or None,
        created=_created(raw),
        reason=_word(text(raw, "status", "reason")),
        message=text(raw, "status", "message"),
        unschedulable=text(scheduled, "message") if unschedulable else "",
        gates=gates,
        disruption=_word(text(disruption, "reason")) if disruption.get("status") == "True" else "",
        has_sandbox=sandbox.get("status") == "True",
        init=() if container and container.state != "waiting" else _init_containers(raw),
        container=container,
        beside=tuple(_container(at(each, "state"), each) for each in others),
        uid=text(raw, "metadata", "uid"),
        deleted=deleted_at(raw),
        gone_by=parse_time(text(raw, "metadata", "deletionTimestamp")),
        cut_off=_cut_off(conditions),
        scheduled=_moment(scheduled) if scheduled.get("status") == "True" else None,
        accepted=parse_time(text(raw, "status", "startTime")),
        ended=_ended(statuses),
        given_up=(_moment(disruption) or _moment(conditions.get("Ready", {})))
        if has_verdict
        else None,
        gpus=_gpus(raw),
        unseen_by="" if scheduled else _word(text(raw, "spec", "schedulerName")),
        changed=last_write(raw),
        writer=_writer(raw),
    )


def deleted_at(raw: Raw) -> datetime | None:
    """When an object's deletion was asked for; its timestamp is that plus the grace period."""
    deadline = parse_time(text(raw, "metadata", "deletionTimestamp"))
    grace = number(raw, "metadata", "deletionGracePeriodSeconds") or 0
    return deadline - timedelta(seconds=grace) if deadline else None


def finalizers_of(raw: Raw) -> tuple[str, ...]:
    """What an object's deletion waits for."""
    listed = at(raw, "metadata", "finalizers")
    return tuple(_word(str(each)) for each in listed) if isinstance(listed, list) else ()


def own_container(raw: Raw) -> str:
    """The name of our container in the pod's spec; empty where there is none."""
    return text(_own_container(raw), "name")


def _own_container(raw: Raw) -> Raw:
    containers = objects(raw, "spec", "containers")
    return next((each for each in containers if text(each, "name") in OWN_CONTAINERS), {})


def _writer(raw: Raw) -> str | None:
    """Whether it is told is decided by its spec, and by nothing that it prints."""
    told = (text(each, "name") for each in objects(_own_container(raw), "env"))
    return text(raw, "metadata", "uid") if WRITER_ENV in told else None


def _container(state: Any, status: Raw) -> Container:
    """The container that is in this state, with the name in its status."""
    name = _word(text(status, "name"))
    if ended := at(state, "terminated"):
        return Container(
            "terminated",
            name=name,
            reason=_word(text(ended, "reason")),
            message=text(ended, "message"),
            exit_code=number(ended, "exitCode"),
            started=parse_time(text(ended, "startedAt")),
            finished=parse_time(text(ended, "finishedAt")),
        )
    if (running := at(state, "running")) is not None:
        return Container("running", name=name, started=parse_time(text(running, "startedAt")))
    waiting = at(state, "waiting")
    reason = _word(text(waiting, "reason"))
    return Container("waiting", name=name, reason=reason, message=text(waiting, "message"))


def _init_containers(raw: Raw) -> tuple[InitContainer, ...]:
    """Those that still stand before ours, in the order in which they come."""
    sidecars = {
        text(each, "name")
        for each in objects(raw, "spec", "initContainers")
        if text(each, "restartPolicy") == "Always"
    }
    found = (
        InitContainer(
            name=_word(text(each, "name")),
            is_sidecar=text(each, "name") in sidecars,
            state=_container(at(each, "state"), each),
            before=_container(at(each, "lastState"), each)
            if at(each, "lastState", "terminated")
            else None,
            restarts=number(each, "restartCount") or 0,
        )
        for each in objects(raw, "status", "initContainerStatuses")
        if not (text(each, "name") in sidecars and each.get("started") is True)
    )
    return tuple(each for each in found if each.is_sidecar or each.state.exit_code != 0)


def _cut_off(conditions: Mapping[str, Raw]) -> datetime | None:
    """The node's controller turns Ready alone and gives no reason; a kubelet always does."""
    ready, containers = (conditions.get(type_, {}) for type_ in ("Ready", "ContainersReady"))
    is_turned = ready.get("status") == "False" and not text(ready, "reason")
    return _moment(ready) if is_turned and containers.get("status") == "True" else None


def _ended(statuses: Iterable[Raw]) -> datetime | None:
    """When the last of the containers ended; None while one has not."""
    ends = [parse_time(text(each, "state", "terminated", "finishedAt")) for each in statuses]
    known = [each for each in ends if each]
    return max(known) if known and len(known) == len(ends) else None


def _gpus(raw: Raw) -> int | None:
    containers = objects(raw, "spec", "containers")
    counts = (text(each, "resources", "limits", GPU_RESOURCE) for each in containers)
    return sum(int(each) for each in counts if _GPU_COUNT.fullmatch(each)) if containers else None


def _moment(condition: Raw) -> datetime | None:
    """When a condition's status changed last."""
    return parse_time(text(condition, "lastTransitionTime"))


def _word(text: str) -> str:
    """A name or a reason, sanitized, since a status is printed to terminals."""
    return one_line(text)[:_WORD_CHARS]


def _created(raw: Raw) -> str:
    return text(raw, "metadata", "creationTimestamp")
