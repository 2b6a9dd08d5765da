"""Observe: raw JSON of a run's children becomes frozen values. Pure.

Metadata are the API server's own and believed; whatever else somebody wrote is read leniently: a
missing key or one of another type is a value of its own, never an exception.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal, Self

from qinstruct_operator.constants import (
    FIELD_MANAGER,
    LABEL_MANAGED_BY,
    LABEL_RUN,
    PREP_CONTAINER,
    TRAINING_CONTAINER,
)
from qinstruct_operator.core.raw import (
    Raw,
    at,
    conditions_of,
    last_seen,
    moment,
    number,
    objects,
    text,
)
from qinstruct_operator.core.text import one_line

_NAME_CHARS = 253
_OWN_CONTAINERS = (PREP_CONTAINER, TRAINING_CONTAINER)


@dataclass(frozen=True)
class Run:
    """Which run, as its object says it. `resource_version` is that of the reading."""

    namespace: str
    name: str
    uid: str
    generation: int
    resource_version: str

    @classmethod
    def of(cls, resource: Raw) -> Self:
        """The run that a QInstructTraining object stands for."""
        meta = resource["metadata"]
        return cls(
            namespace=meta["namespace"],
            name=meta["name"],
            uid=meta["uid"],
            generation=meta.get("generation", 0),
            resource_version=meta.get("resourceVersion", ""),
        )


@dataclass(frozen=True)
class Snapshot:
    """What one reading of the cluster gave: raw objects, None where there is none.

    Attributes:
        claims: the run's claims by name.
        events: events about the children, newest last.
        log: last lines of the container that is, or was last, at work.
    """

    config: Raw | None = None
    prep: Raw | None = None
    training: Raw | None = None
    claims: Mapping[str, Raw | None] = field(default_factory=dict)
    pods: tuple[Raw, ...] = ()
    events: tuple[Raw, ...] = ()
    log: tuple[str, ...] = ()

    def with_applied(self, objects: Sequence[Raw]) -> Self:
        """The same with the children that were applied just now, as the server returned them."""
        by_kind = {raw["kind"]: raw for raw in objects}
        claims = {
            raw["metadata"]["name"]: raw
            for raw in objects
            if raw["kind"] == "PersistentVolumeClaim"
        }
        return replace(
            self,
            config=by_kind.get("ConfigMap", self.config),
            prep=by_kind.get("Job", self.prep),
            training=by_kind.get("PyTorchJob", self.training),
            claims={**self.claims, **claims},
        )


@dataclass(frozen=True)
class Container:
    """The container of a pod that is ours; exit_code None while it has not ended."""

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
        has_sandbox: its volumes and its network are there; what is left is the image.
        sidecars: names of other containers that run, as far as the pod has heard.
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
        """Whether it goes on for others' containers alone: it ends only when they do."""
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
    def _has_verdict(self) -> bool:
        return self.phase in ("Succeeded", "Failed")

    @property
    def has_failed(self) -> bool:
        """Whether it ended badly."""
        return self.phase == "Failed" or bool(self.container and self.container.exit_code)


@dataclass(frozen=True)
class Workload:
    """The prep Job or the PyTorchJob.

    Attributes:
        verdict: its own, from its conditions.
        reason, message: of the condition that is the verdict.
        suspended: it is not to start yet, e.g. because a queue holds it.
        pod: the newest of its pods.
        warnings: messages of Warning events about it and its pods, oldest first.
    """

    name: str
    verdict: Literal["active", "succeeded", "failed"]
    reason: str = ""
    message: str = ""
    suspended: bool = False
    pod: Pod | None = None
    warnings: tuple[str, ...] = ()

    @property
    def is_over(self) -> bool:
        """Whether it has ended and its container with it; a failed job's may still be saving."""
        return self.verdict != "active" and (self.pod is None or self.pod.is_over)

    @property
    def has_failed(self) -> bool:
        """Whether it, or the newest of its pods, ended badly."""
        return (self.verdict == "failed" and self.is_over) or bool(self.pod and self.pod.has_failed)


@dataclass(frozen=True)
class Claim:
    """A volume claim that exists."""

    phase: str
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Observed:
    """Everything seen of a run at one moment.

    Attributes:
        config: the ConfigMap is there.
        claims: those that are there, by name.
        leftovers: children of an earlier run of the same name, soon to be collected.
        taken: children's names that objects of other makers have, as `kind name`.
        refused: what the cluster said to a child that was due; empty where it took all.
        log: last lines of the container that is, or was last, at work.
    """

    config: bool = False
    prep: Workload | None = None
    training: Workload | None = None
    claims: Mapping[str, Claim] = field(default_factory=dict)
    leftovers: tuple[str, ...] = ()
    taken: tuple[str, ...] = ()
    refused: str = ""
    log: tuple[str, ...] = ()

    @property
    def is_prepared(self) -> bool:
        """Whether the children prove it; a PyTorchJob is made of prepared data alone."""
        return self.training is not None or (
            self.prep is not None and self.prep.verdict == "succeeded"
        )


def observe(run: Run, snapshot: Snapshot) -> Observed:
    """What a snapshot says about a run."""
    claims = {name: raw for name, raw in snapshot.claims.items() if raw}
    found = [raw for raw in (snapshot.config, snapshot.prep, snapshot.training) if raw]
    own = [raw for raw in found if _is_controlled_by(raw, run.uid)]
    leftovers = [
        raw
        for raw in (*found, *claims.values())
        if _was_made_by_us(raw, run) and not _is_controlled_by(raw, run.uid)
    ]
    # A claim that nobody controls is data that somebody kept: it may be used again.
    taken = [raw for raw in found if raw not in own and raw not in leftovers]
    return Observed(
        config=snapshot.config in own,
        prep=_workload(snapshot.prep, snapshot) if snapshot.prep in own else None,
        training=_workload(snapshot.training, snapshot) if snapshot.training in own else None,
        claims={
            name: Claim(text(raw, "status", "phase"), _warnings([raw], snapshot.events))
            for name, raw in claims.items()
        },
        leftovers=tuple(_called(raw) for raw in leftovers),
        taken=tuple(_called(raw) for raw in taken),
        log=snapshot.log,
    )


def newest_pod(workload: Raw, pods: Iterable[Raw]) -> Raw | None:
    """The pod that a workload made last, by creation and then by name."""
    own = [pod for pod in pods if _is_controlled_by(pod, workload["metadata"]["uid"])]
    return max(own, key=lambda pod: (_created(pod), pod["metadata"]["name"]), default=None)


def _workload(raw: Raw | None, snapshot: Snapshot) -> Workload | None:
    if raw is None:
        return None
    pod = newest_pod(raw, snapshot.pods)
    conditions = {
        type_: condition
        for type_, condition in conditions_of(raw).items()
        if condition.get("status") == "True"
    }
    # batch/v1 says Complete where Kubeflow says Succeeded.
    succeeded = conditions.get("Complete") or conditions.get("Succeeded")
    failed = conditions.get("Failed")
    verdict = succeeded or failed or {}
    return Workload(
        name=raw["metadata"]["name"],
        verdict="succeeded" if succeeded else "failed" if failed else "active",
        reason=text(verdict, "reason"),
        message=text(verdict, "message"),
        suspended="Suspended" in conditions,
        pod=read_pod(pod) if pod else None,
        warnings=_warnings([raw, *([pod] if pod else [])], snapshot.events),
    )


def read_pod(raw: Raw) -> Pod:
    """What a pod's object says of it."""
    conditions = conditions_of(raw)
    scheduled = conditions.get("PodScheduled", {})
    disruption = conditions.get("DisruptionTarget", {})
    sandbox = conditions.get("PodReadyToStartContainers", {})
    # By their names: admission webhooks put others beside ours, and the kubelet sorts them all.
    statuses = objects(raw, "status", "containerStatuses")
    own = next((each for each in statuses if text(each, "name") in _OWN_CONTAINERS), None)
    others = [each for each in statuses if text(each, "name") not in _OWN_CONTAINERS]
    return Pod(
        name=text(raw, "metadata", "name"),
        phase=text(raw, "status", "phase") or "Pending",
        node=one_line(text(raw, "spec", "nodeName"))[:_NAME_CHARS] or None,
        created=_created(raw),
        reason=text(raw, "status", "reason"),
        message=text(raw, "status", "message"),
        unschedulable=text(scheduled, "message") if scheduled.get("status") == "False" else "",
        disruption=text(disruption, "reason") if disruption.get("status") == "True" else "",
        has_sandbox=sandbox.get("status") == "True",
        sidecars=tuple(
            one_line(text(each, "name"))[:_NAME_CHARS]
            for each in others
            if at(each, "state", "running") is not None
        ),
        container=_container(own) if own else None,
    )


def _container(raw: Raw) -> Container:
    if ended := at(raw, "state", "terminated"):
        return Container(
            "terminated",
            reason=text(ended, "reason"),
            message=text(ended, "message"),
            exit_code=number(ended, "exitCode"),
            started=moment(text(ended, "startedAt")),
            finished=moment(text(ended, "finishedAt")),
        )
    if (running := at(raw, "state", "running")) is not None:
        return Container("running", started=moment(text(running, "startedAt")))
    waiting = at(raw, "state", "waiting")
    return Container("waiting", text(waiting, "reason"), text(waiting, "message"))


def _warnings(about: list[Raw], events: Iterable[Raw]) -> tuple[str, ...]:
    """Each message once, in the order of its last occurrence."""
    uids = {raw["metadata"]["uid"] for raw in about}
    messages = [
        f"{text(event, 'reason') or 'Warning'}: {text(event, 'message')}"
        for event in sorted(events, key=last_seen)
        if event.get("type") == "Warning" and text(event, "involvedObject", "uid") in uids
    ]
    return tuple(dict.fromkeys(reversed(messages)))[::-1]


def _is_controlled_by(raw: Raw, uid: str) -> bool:
    owners = objects(raw, "metadata", "ownerReferences")
    return any(owner.get("controller") and owner.get("uid") == uid for owner in owners)


def _was_made_by_us(raw: Raw, run: Run) -> bool:
    manager, made_for = (
        text(raw, "metadata", "labels", label) for label in (LABEL_MANAGED_BY, LABEL_RUN)
    )
    is_ours = manager == FIELD_MANAGER and made_for == run.name
    return is_ours and bool(objects(raw, "metadata", "ownerReferences"))


def _called(raw: Raw) -> str:
    return f"{raw.get('kind', 'object')} {raw['metadata']['name']}"


def _created(raw: Raw) -> str:
    return text(raw, "metadata", "creationTimestamp")
