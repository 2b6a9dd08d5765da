"""Which nodes a pod may run on: node selector, affinity and tolerations. Pure.

Exact product names miss PCIe cards, old drivers and nodes that are still to be created, so the
affinity's OR-ed terms ask for memory (GPU feature discovery), the accelerator (GKE) or the
instance type (EKS, AKS, OCI, HyperPod): any one is enough.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from qinstruct_operator.api.spec_operations import Toleration
from qinstruct_operator.catalog.gpus import larger_classes
from qinstruct_operator.constants import ARCH, ARCH_LABEL, GPU_PRODUCT_LABEL, GPU_RESOURCE
from qinstruct_operator.core.children.metadata import Manifest, optional
from qinstruct_operator.core.plan.types import GpuPlan, Plan

_OLD_ARCH_LABEL: Final = "beta.kubernetes.io/arch"  # deprecated, and still on every node
# flash-attn 2 needs compute capability 8.0 and newer.
_FAMILIES = ("ampere", "hopper", "blackwell")


def prep_node_selector(plan: Plan) -> dict[str, str]:
    """The architecture, and the user's labels for prep."""
    return _with_architecture(plan.spec.prep.node_selector)


def train_node_selector(plan: Plan) -> dict[str, str]:
    """The architecture, the user's labels for training, and with `strict` the product."""
    gpu = plan.gpu
    strict = {GPU_PRODUCT_LABEL: _product(gpu)} if gpu and gpu.strict else {}
    return {**_with_architecture(plan.spec.scheduling.node_selector), **strict}


def _with_architecture(chosen: Mapping[str, str]) -> dict[str, str]:
    """The user's labels, and that of the images' architecture unless they name one."""
    named = any(key in chosen for key in (ARCH_LABEL, _OLD_ARCH_LABEL))
    return {**({} if named else {ARCH_LABEL: ARCH}), **chosen}


def affinity(plan: Plan, avoided: Sequence[str] = ()) -> Manifest:
    """Required affinity to nodes with the right GPUs, and not to some; nothing where any will do.

    Without GPUs, or with `strict`, no GPUs are asked for here. Where larger ones are allowed,
    those of the size's own class are preferred, so that the others stay free for runs that need
    them.

    Args:
        plan: of the run.
        avoided: names of nodes that the pod must not go to.
    """
    gpu = plan.gpu if plan.gpu and not plan.gpu.strict else None
    required = _required(gpu) if gpu else []
    if avoided:
        required = [term | _away_from(avoided) for term in required or [{}]]
    if not required:
        return {}
    larger = gpu and not gpu.product and gpu.allow_larger and larger_classes(gpu.gpu_class)
    preferred = _terms(gpu, larger=False) if gpu and larger else []
    return {
        "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": required},
            **optional(
                preferredDuringSchedulingIgnoredDuringExecution=[
                    {"weight": 100, "preference": term} for term in preferred
                ]
            ),
        }
    }


def _required(gpu: GpuPlan) -> list[Manifest]:
    if gpu.product:
        return [_term(_expression(GPU_PRODUCT_LABEL, "In", gpu.product))]
    return _terms(gpu, larger=gpu.allow_larger)


def _away_from(nodes: Sequence[str]) -> Manifest:
    """Part of a term: none of these nodes.

    By their names, since the label with the host's name need not have the node's. Kubernetes takes
    one name a requirement there, and each term has to say it, because any one term is enough.
    """
    return {"matchFields": [_expression("metadata.name", "NotIn", node) for node in nodes]}


def prep_tolerations(plan: Plan) -> list[Manifest]:
    """The user's tolerations for prep."""
    return [_toleration(each) for each in plan.spec.prep.tolerations]


def train_tolerations(plan: Plan) -> list[Manifest]:
    """The user's tolerations for training, and for GPUs that of the usual taint of their nodes."""
    usual = {"key": GPU_RESOURCE, "operator": "Exists", "effect": "NoSchedule"}
    own = [_toleration(each) for each in plan.spec.scheduling.tolerations]
    return [usual, *own] if plan.gpu else own


def _toleration(toleration: Toleration) -> Manifest:
    return toleration.model_dump(mode="json", exclude_none=True)


def _product(gpu: GpuPlan) -> str:
    return gpu.product or gpu.gpu_class.product


def _terms(gpu: GpuPlan, *, larger: bool) -> list[Manifest]:
    """One term a kind of label, for the class itself or also for those with more memory."""
    classes = (gpu.gpu_class, *(larger_classes(gpu.gpu_class) if larger else ()))
    below = [] if larger else [_memory("Lt", gpu.gpu_class.below_mebibytes)]
    # Not nvidia.com/mig.strategy: nodes that are not split have it too, and a MIG slice has
    # less memory than is required.
    return [
        _term(
            _memory("Gt", gpu.gpu_class.above_mebibytes),
            *below,
            _expression("nvidia.com/gpu.count", "Gt", str(gpu.per_node - 1)),
            _expression("nvidia.com/gpu.family", "In", *_FAMILIES),
            _expression("nvidia.com/gpu.sharing-strategy", "NotIn", "time-slicing", "mps"),
        ),
        _term(
            _expression(
                "cloud.google.com/gke-accelerator",
                "In",
                *(value for each in classes for value in each.gke),
            )
        ),
        _term(
            _expression(
                "node.kubernetes.io/instance-type",
                "In",
                *(value for each in classes for value in each.instance_types),
            )
        ),
    ]


def _term(*expressions: Manifest) -> Manifest:
    return {"matchExpressions": list(expressions)}


def _memory(operator: str, mebibytes: int) -> Manifest:
    return _expression("nvidia.com/gpu.memory", operator, str(mebibytes))


def _expression(key: str, operator: str, *values: str) -> Manifest:
    return {"key": key, "operator": operator, "values": list(values)}
