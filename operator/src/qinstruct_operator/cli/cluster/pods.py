"""Which pod of a run has the log that is asked for. Pure; whatever a pod says is read leniently."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, Self

from qinstruct_operator.cli.cluster.runs import text_at
from qinstruct_operator.cli.terminal import harmless
from qinstruct_operator.constants import (
    LABEL_ATTEMPT,
    LABEL_COMPONENT,
    PREP_CONTAINER,
    TRAINING_CONTAINER,
)
from qinstruct_operator.core.judge.pods import Pod, read_pod
from qinstruct_operator.core.raw import Raw

Component = Literal["prep", "train"]

CONTAINERS: Final[Mapping[str, str]] = {"prep": PREP_CONTAINER, "train": TRAINING_CONTAINER}
WORK: Final[Mapping[str, str]] = {"prep": "preparation", "train": "training"}


@dataclass(frozen=True)
class Choice:
    """Which pods are meant; None: any."""

    component: Component | None = None
    attempt: int | None = None

    @property
    def is_narrow(self) -> bool:
        """Whether the user named a part of the run, so that the rest is not wanted."""
        return self.component is not None

    def takes(self, pod: "WorkPod") -> bool:
        """Whether a pod is meant."""
        return self.component in (None, pod.component) and self.attempt in (None, pod.attempt)

    def __str__(self) -> str:
        of_attempt = "" if self.attempt is None else f" of attempt {self.attempt}"
        return f"{WORK[self.component]} pod{of_attempt}" if self.component else "pod"


@dataclass(frozen=True)
class WorkPod:
    """A prep or training pod.

    Attributes:
        component: `prep` or `train`, a key of CONTAINERS.
        attempt: of a training pod; None for prep.
        has_started: its container runs, or has run.
        is_over: its container will not run (again).
        waiting: why its container has not started, in the cluster's words; may be empty.
    """

    name: str
    component: str
    attempt: int | None
    created: str
    has_started: bool
    is_over: bool
    waiting: str

    @classmethod
    def of(cls, raw: Raw) -> Self:
        """The pod that an object stands for."""
        attempt = text_at(raw, "metadata", "labels", LABEL_ATTEMPT)
        component = text_at(raw, "metadata", "labels", LABEL_COMPONENT)
        pod = read_pod(raw)
        return cls(
            name=harmless(pod.name),
            component=component,
            attempt=int(attempt) if attempt.isdecimal() else None,
            created=harmless(pod.created),
            has_started=pod.has_started,
            is_over=pod.is_over,
            waiting=harmless(_waiting(pod)),
        )


def work_pods(raws: Iterable[Raw], choice: Choice) -> tuple[WorkPod, ...]:
    """The pods that are meant, in the order of their creation."""
    pods = (WorkPod.of(raw) for raw in raws)
    meant = (pod for pod in pods if pod.component in CONTAINERS and choice.takes(pod))
    return tuple(sorted(meant, key=lambda pod: (pod.created, pod.attempt or 0, pod.name)))


def at_work(pods: Sequence[WorkPod]) -> WorkPod | None:
    """The newest that has started, or else the newest; None where there is none."""
    started = [pod for pod in pods if pod.has_started] or list(pods)
    return started[-1] if started else None


def _waiting(pod: Pod) -> str:
    container = pod.container
    if container and container.state == "waiting" and container.reason:
        return ": ".join(filter(None, (container.reason, container.message)))
    return pod.unschedulable
