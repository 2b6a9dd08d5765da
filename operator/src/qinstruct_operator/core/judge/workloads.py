"""Parse the JSON of the prep Job or the training workload into a frozen value. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

from qinstruct_operator.constants import LABEL_QUEUE
from qinstruct_operator.core.backends.base import ConditionTypes
from qinstruct_operator.core.judge.pods import Pod, newest_pod, read_pod
from qinstruct_operator.core.safe_text import one_line
from qinstruct_operator.core.untyped_json import Raw, conditions_of, last_seen, text

JOB_CONDITIONS: Final = ConditionTypes(succeeded="Complete")
"""The types of a batch/v1 Job's conditions."""


@dataclass(frozen=True)
class Workload:
    """The prep Job or the training workload.

    Attributes:
        verdict: its own, from its conditions.
        reason, message: of the condition that is the verdict.
        suspended: it must not start yet, e.g. because a queue holds it.
        queue: Kueue's LocalQueue that it names; empty where it names none.
        pod: the newest of its pods.
        warnings: messages of Warning events about it and its pods, oldest first.
    """

    name: str
    verdict: Literal["active", "succeeded", "failed"]
    reason: str = ""
    message: str = ""
    suspended: bool = False
    queue: str = ""
    pod: Pod | None = None
    warnings: tuple[str, ...] = ()

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
    """The workload in an object, with its newest pod and the warnings about both."""
    pod = newest_pod(raw, pods)
    true = {
        type_: condition
        for type_, condition in conditions_of(raw).items()
        if condition.get("status") == "True"
    }
    succeeded, failed = true.get(types.succeeded), true.get(types.failed)
    verdict = succeeded or failed or {}
    return Workload(
        name=raw["metadata"]["name"],
        verdict="succeeded" if succeeded else "failed" if failed else "active",
        reason=text(verdict, "reason"),
        message=text(verdict, "message"),
        suspended=types.suspended in true,
        queue=one_line(text(raw, "metadata", "labels", LABEL_QUEUE)),
        pod=read_pod(pod) if pod else None,
        warnings=warnings_about([raw, *([pod] if pod else [])], events),
    )


def warnings_about(objects: list[Raw], events: Iterable[Raw]) -> tuple[str, ...]:
    """Each message of a Warning event once, in the order of its last occurrence."""
    uids = {raw["metadata"]["uid"] for raw in objects}
    messages = [
        f"{text(event, 'reason') or 'Warning'}: {text(event, 'message')}"
        for event in sorted(events, key=last_seen)
        if event.get("type") == "Warning" and text(event, "involvedObject", "uid") in uids
    ]
    return tuple(dict.fromkeys(reversed(messages)))[::-1]
