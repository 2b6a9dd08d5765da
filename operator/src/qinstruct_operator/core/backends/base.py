"""The interface of a backend: how a kind of training workload is built and read. Pure."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from qinstruct_operator.kinds import Kind


@dataclass(frozen=True)
class ConditionTypes:
    """Where a workload's object says how it stands, and who writes that.

    Attributes:
        succeeded, failed: types of the conditions that report its end.
        suspended: type of the condition that it must not start yet.
        suspend_path: where its spec says the same, which is true before its controller has heard.
        controller: the program that makes its pods, for sentences.
        backs_off: how long that may wait by itself before it makes the next pod.
    """

    succeeded: str
    suspend_path: tuple[str, ...]
    controller: str
    failed: str = "Failed"
    suspended: str = "Suspended"
    backs_off: timedelta = timedelta()


@dataclass(frozen=True)
class Backend:
    """One kind of workload that can run the training pod, and controls it directly.

    A kind with another object between itself and the pod (JobSet, TrainJob) needs a rule of its
    own for which pods are its; `judge.pods.newest_pod` takes those that it controls.

    Attributes:
        kind: of its objects.
        container: required name of the training container.
        conditions: where its objects say how they stand.
        install: the command that installs the kind and its controller.
        build_spec: makes the workload's spec of a pod template, a number of processes, and the
            seconds after its end in which it is deleted; None: it is not.
        pod_template: finds the pod template in a manifest of the kind.
    """

    kind: Kind
    container: str
    conditions: ConditionTypes
    install: str
    build_spec: Callable[[dict[str, Any], int, int | None], dict[str, Any]]
    pod_template: Callable[[dict[str, Any]], dict[str, Any]]
