"""Select the pods of a run whose logs the user asks for. Pure, and lenient."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, Self

from qinstruct_operator.cli.terminal import sanitize, sanitized_text
from qinstruct_operator.constants import LABEL_ATTEMPT, LABEL_COMPONENT
from qinstruct_operator.core.judge.pods import Pod, own_container, read_pod
from qinstruct_operator.core.untyped_json import Raw

Component = Literal["prep", "train"]

ACTIVITIES: Final[Mapping[str, str]] = {"prep": "preparation", "train": "training"}
"""What a component does, for sentences."""


@dataclass(frozen=True)
class PodSelector:
    """Which pods the user asks for; None: any."""

    component: Component | None = None
    attempt: int | None = None

    @property
    def is_narrow(self) -> bool:
        """Whether the user named a part of the run, so that the rest is not wanted."""
        return self.component is not None

    def matches(self, pod: "RunPod") -> bool:
        """Whether the user asks for this pod."""
        return self.component in (None, pod.component) and self.attempt in (None, pod.attempt)

    def __str__(self) -> str:
        of_attempt = "" if self.attempt is None else f" of attempt {self.attempt}"
        return f"{ACTIVITIES[self.component]} pod{of_attempt}" if self.component else "pod"


@dataclass(frozen=True)
class RunPod:
    """A prep or training pod.

    Attributes:
        component: `prep` or `train`, a key of ACTIVITIES.
        attempt: of a training pod; None for prep.
        container: the one of its containers that is ours; empty where its spec has none.
        has_started: its container runs, or has run.
        is_over: its container will not run (again).
        waiting: why its container has not started, in the cluster's words; may be empty.
        uid: of this pod, whatever others have its name.
        writer: what its events carry; None where an older version made it.
    """

    name: str
    component: str
    attempt: int | None
    container: str
    created: str
    has_started: bool
    is_over: bool
    waiting: str
    uid: str
    writer: str | None

    @classmethod
    def of(cls, raw: Raw) -> Self:
        """The pod that an object stands for."""
        attempt = sanitized_text(raw, "metadata", "labels", LABEL_ATTEMPT)
        pod = read_pod(raw)
        return cls(
            name=sanitize(pod.name),
            component=sanitized_text(raw, "metadata", "labels", LABEL_COMPONENT),
            attempt=int(attempt) if attempt.isdecimal() else None,
            container=own_container(raw),
            created=sanitize(pod.created),
            has_started=pod.has_started,
            is_over=pod.is_over,
            waiting=sanitize(_waiting(pod)),
            uid=pod.uid,
            writer=pod.writer,
        )


def select_pods(raws: Iterable[Raw], selector: PodSelector) -> tuple[RunPod, ...]:
    """The pods that the user asks for, in the order of their creation."""
    pods = (RunPod.of(raw) for raw in raws)
    selected = (pod for pod in pods if pod.component in ACTIVITIES and selector.matches(pod))
    return tuple(sorted(selected, key=lambda pod: (pod.created, pod.attempt or 0, pod.name)))


def newest_started(pods: Sequence[RunPod]) -> RunPod | None:
    """The newest that has started, or else the newest; None where there is none."""
    started = [pod for pod in pods if pod.has_started] or list(pods)
    return started[-1] if started else None


def _waiting(pod: Pod) -> str:
    container = pod.container
    if container and container.state == "waiting" and container.reason:
        return ": ".join(filter(None, (container.reason, container.message)))
    return pod.unschedulable
