"""What one kind of training workload says of itself. Pure."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from qinstruct_operator.kinds import Kind


@dataclass(frozen=True)
class ConditionTypes:
    """The types of the conditions by which a workload tells its end."""

    succeeded: str
    failed: str = "Failed"
    suspended: str = "Suspended"


@dataclass(frozen=True)
class Backend:
    """One kind of workload that can run the training pod.

    Attributes:
        kind: of its objects.
        container: the name that it demands of the training container.
        conditions: how its objects tell their end.
        build_spec: pod template and number of processes to the workload's spec.
        pod_template: the pod template in a manifest of the kind.
    """

    kind: Kind
    container: str
    conditions: ConditionTypes
    build_spec: Callable[[dict[str, Any], int], dict[str, Any]]
    pod_template: Callable[[dict[str, Any]], dict[str, Any]]
