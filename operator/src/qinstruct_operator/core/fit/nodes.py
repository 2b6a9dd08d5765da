"""Whether a node could ever run a run's pods, and why not. Pure.

The pods are those that `children` builds, so the answer cannot disagree with what is applied;
labels and taints are compared as the scheduler does. What other pods use now is ignored.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from qinstruct_operator.constants import GPU_RESOURCE
from qinstruct_operator.core.backends import BACKENDS
from qinstruct_operator.core.children import build_children
from qinstruct_operator.core.children.metadata import Manifest
from qinstruct_operator.core.fit.node_labels import gpu_shortage, label_reasons
from qinstruct_operator.core.plan.types import Plan
from qinstruct_operator.core.quantity import binary_text, parse_quantity
from qinstruct_operator.core.untyped_json import at, objects

# Taints that the cluster sets while a node is not ready: they pass.
_PASSING_TAINTS = ("node.kubernetes.io/", "node.cloudprovider.kubernetes.io/")
_GPU_LABELS = ("nvidia.com/gpu.", "cloud.google.com/gke-accelerator")
_KEEPING_AWAY = ("NoSchedule", "NoExecute")


@dataclass(frozen=True)
class Taint:
    """A taint of a node."""

    key: str
    value: str
    effect: str

    def __str__(self) -> str:
        value = f"={self.value}" if self.value else ""
        return f"{self.key}{value}:{self.effect}"


@dataclass(frozen=True)
class Node:
    """The parts of a node that scheduling depends on.

    Attributes:
        allocatable: what pods may use, in cores, bytes and pieces.
        cordoned: no new pod is placed there, until a person says so.
    """

    name: str
    labels: Mapping[str, str] = field(default_factory=dict)
    taints: tuple[Taint, ...] = ()
    allocatable: Mapping[str, Fraction] = field(default_factory=dict)
    cordoned: bool = False
    ready: bool = True


@dataclass(frozen=True)
class Fit:
    """Whether one node fits.

    Attributes:
        train: why the training pod can never run there; empty: it can.
        prep: the same for the prep pod.
        now: what keeps new pods away at the moment only.
    """

    node: str
    train: tuple[str, ...]
    prep: tuple[str, ...]
    now: tuple[str, ...]


@dataclass(frozen=True)
class Pods:
    """The pod specs of a run, as they will be applied."""

    train: Manifest
    prep: Manifest


def pods_of(plan: Plan) -> Pods:
    """Both pod specs of a plan."""
    children = build_children(plan)
    template = BACKENDS[plan.backend].pod_template(children.training.manifest)
    return Pods(train=template["spec"], prep=children.prep.manifest["spec"]["template"]["spec"])


def node_fit(pods: Pods, node: Node) -> Fit:
    """Whether either pod could run on a node that were free, ready and not cordoned."""
    now = ("cordoned",) * node.cordoned + ("not ready",) * (not node.ready)
    return Fit(node.name, pod_reasons(pods.train, node), pod_reasons(pods.prep, node), now)


def pod_reasons(pod: Manifest, node: Node) -> tuple[str, ...]:
    """Why a pod can never run on a node; none: it can."""
    requests = _requests(pod)
    if requests.get(GPU_RESOURCE) and _has_no_gpu(node):
        return ("offers no GPUs",)  # nothing else about such a node matters
    reasons = (
        *label_reasons(pod, node.name, node.labels),
        *_taint_reasons(pod.get("tolerations", ()), node.taints),
        *_resource_reasons(requests, node),
    )
    return tuple(dict.fromkeys(reasons))  # a label and a resource may say the same of its GPUs


def read_node(raw: Mapping[str, Any]) -> Node:
    """A node from the API server's JSON. What cannot be read counts as not there."""
    allocatable = {
        str(resource): amount
        for resource, text in _mapping(at(raw, "status", "allocatable")).items()
        if (amount := parse_quantity(str(text))) is not None
    }
    return Node(
        name=str(_mapping(raw.get("metadata")).get("name", "")),
        labels={
            str(key): str(value) for key, value in _mapping(at(raw, "metadata", "labels")).items()
        },
        taints=tuple(
            Taint(*(str(taint.get(part, "")) for part in ("key", "value", "effect")))
            for taint in objects(raw, "spec", "taints")
        ),
        allocatable=allocatable,
        cordoned=at(raw, "spec", "unschedulable") is True,
        ready=any(
            each.get("type") == "Ready" and each.get("status") == "True"
            for each in objects(raw, "status", "conditions")
        ),
    )


def tolerates(toleration: Mapping[str, Any], taint: Taint) -> bool:
    """Whether a toleration covers a taint; an empty effect or, with Exists, key covers all."""
    if toleration.get("effect") not in (None, "", taint.effect):
        return False
    key = toleration.get("key") or ""
    if toleration.get("operator") == "Exists":
        return key in ("", taint.key)
    return key == taint.key and (toleration.get("value") or "") == taint.value


def _taint_reasons(
    tolerations: Iterable[Mapping[str, Any]], taints: Iterable[Taint]
) -> Iterable[str]:
    lasting = (
        taint
        for taint in taints
        if taint.effect in _KEEPING_AWAY and not taint.key.startswith(_PASSING_TAINTS)
    )
    for taint in lasting:
        if not any(tolerates(toleration, taint) for toleration in tolerations):
            yield f"taint {taint} is not tolerated"


def _resource_reasons(requests: Mapping[str, Fraction], node: Node) -> Iterable[str]:
    for resource, asked in requests.items():
        there = node.allocatable.get(resource, Fraction(0))
        if there < asked:
            yield _shortage(resource, asked, there)


def _shortage(resource: str, asked: Fraction, there: Fraction) -> str:
    if resource == GPU_RESOURCE:
        if not there:
            return "its GPUs are not offered to pods: the NVIDIA device plugin does not serve them"
        return gpu_shortage(int(there), asked=int(asked))
    if resource == "memory":
        return f"{binary_text(asked)} memory asked, {binary_text(there)} allocatable"
    what = "CPUs" if resource == "cpu" else resource
    return f"{float(asked):g} {what} asked, {float(there):g} allocatable"


def _requests(pod: Manifest) -> dict[str, Fraction]:
    """What the containers ask for together."""
    total: dict[str, Fraction] = {}
    for container in pod["containers"]:
        for resource, text in container["resources"]["requests"].items():
            amount = parse_quantity(str(text))
            if amount is None:
                raise ValueError(f"{text} is no quantity of {resource}")
            total[resource] = total.get(resource, Fraction(0)) + amount
    return total


def _has_no_gpu(node: Node) -> bool:
    """Neither offered now, nor known by a label while their driver is not ready."""
    labelled = any(key.startswith(_GPU_LABELS) for key in node.labels)
    return not labelled and not node.allocatable.get(GPU_RESOURCE)


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
