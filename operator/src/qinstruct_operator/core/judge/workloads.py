"""Parse the JSON of the prep Job or the training workload into a frozen value. Pure."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Literal

from qinstruct_operator.constants import ANNOTATION_SUSPENDED, LABEL_QUEUE
from qinstruct_operator.core.attempts import avoided_by
from qinstruct_operator.core.backends.base import ConditionTypes
from qinstruct_operator.core.judge.pods import (
    Pod,
    deleted_at,
    finalizers_of,
    newest_pod,
    read_pod,
)
from qinstruct_operator.core.times import parse_time
from qinstruct_operator.core.untyped_json import (
    Raw,
    at,
    conditions_of,
    last_seen,
    last_write,
    text,
)
from qinstruct_trainer.contract.safe_text import one_line

JOB_CONDITIONS: Final = ConditionTypes(
    succeeded="Complete",
    suspend_path=("spec", "suspend"),
    controller="the Job controller of kube-controller-manager",
    backs_off=timedelta(minutes=10),  # MaxJobPodFailureBackOff
)
"""Where a batch/v1 Job says how it stands."""


_KUBELET: Final = "kubelet"  # as the source of an event


@dataclass(frozen=True)
class Quiet:
    """Since when nothing of a workload was written.

    Attributes:
        controller: the program that has to bring it on.
        since: the last write; of a workload without any status its creation.
        was_heard: whether that program has ever written its status.
        backs_off: how long that may wait by itself before it makes the next pod.
    """

    controller: str
    since: datetime
    was_heard: bool = True
    backs_off: timedelta = timedelta()


@dataclass(frozen=True)
class Workload:
    """The prep Job or the training workload.

    Attributes:
        verdict: its own, from its conditions.
        reason, message: of the condition that is the verdict.
        suspended: it must not start yet, e.g. because a queue holds it.
        is_marked: the operator has suspended it, as spec.suspend said, and not let it go on.
        version: resourceVersion of its object.
        avoided: names of nodes that its pods are kept from.
        queue: Kueue's LocalQueue that it names; empty where it names none.
        resume: the command by which a person lets it start; empty where nothing is suspended.
        deleted: since when it is being deleted; None where it is not.
        finalizers: what its deletion waits for.
        ended: since when it has its verdict, by its controller's clock.
        quiet: since when nothing of it was written; None where it does not say.
        pod: the newest of its pods, but none that a suspension has ended: it says nothing of the
            pod that is made when the workload is resumed.
        suspended_pod: that one.
        said: what its pod's kubelet said last, with the time; empty where its events are gone.
        warnings: messages of Warning events about it and its pods, oldest first, less those from
            before it was resumed, or its pod ended.
    """

    name: str
    verdict: Literal["active", "succeeded", "failed"]
    reason: str = ""
    message: str = ""
    suspended: bool = False
    is_marked: bool = False
    version: str = ""
    avoided: tuple[str, ...] = ()
    queue: str = ""
    resume: str = ""
    deleted: datetime | None = None
    finalizers: tuple[str, ...] = ()
    ended: datetime | None = None
    quiet: Quiet | None = None
    pod: Pod | None = None
    suspended_pod: Pod | None = None
    said: str = ""
    warnings: tuple[str, ...] = ()

    @property
    def is_held(self) -> bool:
        """Whether it is suspended because of spec.suspend; what is in a queue is Kueue's."""
        return self.suspended and self.is_marked and not self.queue

    @property
    def is_over(self) -> bool:
        """Whether it has ended and its container with it; a failed job's may still be saving."""
        return self.verdict != "active" and (self.pod is None or self.pod.is_over)

    @property
    def has_started(self) -> bool:
        """Whether its container runs, or has run."""
        return self.pod is not None and self.pod.has_started

    @property
    def has_failed(self) -> bool:
        """Whether it, or the newest of its pods, ended badly."""
        return (self.verdict == "failed" and self.is_over) or bool(self.pod and self.pod.has_failed)


def read_workload(
    raw: Raw, types: ConditionTypes, pods: Iterable[Raw] = (), events: Iterable[Raw] = ()
) -> Workload:
    """The workload in an object, with its newest pod and the events about both."""
    events = tuple(events)
    conditions = conditions_of(raw)
    true = {
        type_: condition
        for type_, condition in conditions.items()
        if condition.get("status") == "True"
    }
    succeeded, failed = true.get(types.succeeded), true.get(types.failed)
    verdict = succeeded or failed or {}
    suspended = _is_suspended(raw, types, true)
    resumed = parse_time(text(conditions.get(types.suspended), "lastTransitionTime"))
    newest = newest_pod(raw, pods)
    pod = read_pod(newest) if newest else None
    is_history = pod is not None and pod.is_over and (suspended or _is_before(pod, resumed))
    outdated = (resumed, pod.changed if pod and pod.is_over else None)
    return Workload(
        name=raw["metadata"]["name"],
        verdict="succeeded" if succeeded else "failed" if failed else "active",
        reason=text(verdict, "reason"),
        message=text(verdict, "message"),
        suspended=suspended and not verdict,
        is_marked=text(raw, "metadata", "annotations", ANNOTATION_SUSPENDED) == "true",
        version=text(raw, "metadata", "resourceVersion"),
        avoided=avoided_by(raw),
        queue=one_line(text(raw, "metadata", "labels", LABEL_QUEUE)),
        resume=_resume(raw, types) if suspended and not verdict else "",
        deleted=deleted_at(raw),
        finalizers=finalizers_of(raw),
        ended=parse_time(text(verdict, "lastTransitionTime")),
        quiet=_quiet(raw, types),
        pod=None if is_history and not verdict else pod,
        suspended_pod=pod if is_history and not verdict else None,
        said=_last_word(newest, events) if newest else "",
        warnings=warnings_about(
            [raw, *([newest] if newest else [])],
            events,
            max((moment for moment in outdated if moment), default=None),
        ),
    )


def has_failed_verdict(raw: Raw, types: ConditionTypes) -> bool:
    """Whether a workload's own verdict is that it has failed."""
    return read_workload(raw, types).verdict == "failed"


def _is_suspended(raw: Raw, types: ConditionTypes, true: Mapping[str, Raw]) -> bool:
    """By its spec, which is what was asked for; by its condition where that says nothing."""
    asked = at(raw, *types.suspend_path)
    return asked if isinstance(asked, bool) else types.suspended in true


def nested(path: Iterable[str], value: object) -> dict[str, Any]:
    """The document that has only this value, at this path."""
    for key in reversed([*path]):
        value = {key: value}
    assert isinstance(value, dict), "a path has a key at least"
    return value


def _resume(raw: Raw, types: ConditionTypes) -> str:
    said = json.dumps(nested(types.suspend_path, False), separators=(",", ":"))
    what = f"{text(raw, 'kind').lower()} {raw['metadata']['name']}"
    return f"kubectl patch {what} --type=merge --patch '{said}'"


def _last_word(pod: Raw, events: Iterable[Raw]) -> str:
    """The newest event about a pod from its kubelet, whatever its type."""
    uid = pod["metadata"]["uid"]
    newest = max(
        (
            event
            for event in events
            if text(event, "involvedObject", "uid") == uid
            and _KUBELET in (text(event, "source", "component"), text(event, "reportingComponent"))
        ),
        key=last_seen,
        default=None,
    )
    if newest is None:
        return ""
    return f"{last_seen(newest)}: {text(newest, 'reason')}: {text(newest, 'message')}"


def _is_before(pod: Pod, moment: datetime | None) -> bool:
    created = parse_time(pod.created)
    return moment is not None and created is not None and created < moment


def _quiet(raw: Raw, types: ConditionTypes) -> Quiet | None:
    status = at(raw, "status")
    was_heard = isinstance(status, Mapping) and any(status.values())
    since = last_write(raw) if was_heard else parse_time(text(raw, "metadata", "creationTimestamp"))
    return Quiet(types.controller, since, was_heard, types.backs_off) if since else None


def warnings_about(
    objects: list[Raw], events: Iterable[Raw], since: datetime | None = None
) -> tuple[str, ...]:
    """Each message of a Warning event once, in the order of its last occurrence.

    Args:
        objects: what the events must be about.
        events: of any kind, in any order.
        since: older ones are left out.
    """
    uids = {raw["metadata"]["uid"] for raw in objects}
    messages = [
        f"{text(event, 'reason') or 'Warning'}: {text(event, 'message')}"
        for event in sorted(events, key=last_seen)
        if event.get("type") == "Warning"
        and text(event, "involvedObject", "uid") in uids
        and (since is None or (parse_time(last_seen(event)) or since) >= since)
    ]
    return tuple(dict.fromkeys(reversed(messages)))[::-1]
