"""Whether a node can ever run a run's pods: tables of nodes, and the operators as laws."""

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qinstruct_operator.core.fit.nodes import (
    Fit,
    Node,
    Taint,
    node_fit,
    pods_of,
    read_node,
    tolerates,
)
from support.operator_documents import document, plan

GPU_TAINT = {"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}
A100_80 = {
    "nvidia.com/gpu.product": "NVIDIA-A100-SXM4-80GB",
    "nvidia.com/gpu.memory": "81920",
    "nvidia.com/gpu.count": "8",
    "nvidia.com/gpu.family": "ampere",
}
A100_40 = A100_80 | {
    "nvidia.com/gpu.product": "NVIDIA-A100-SXM4-40GB",
    "nvidia.com/gpu.memory": "40960",
}


def node(
    labels: dict[str, str] | None = None,
    *,
    gpus: int = 8,
    taints: tuple[dict[str, str], ...] = (GPU_TAINT,),
    memory: str = "1126400Mi",
    cpu: str = "95",
    ready: str = "True",
    **spec: Any,
) -> dict[str, Any]:
    offered = {"nvidia.com/gpu": str(gpus)} if gpus else {}
    return {
        "metadata": {"name": "node-a", "labels": {"kubernetes.io/arch": "amd64"} | (labels or {})},
        "spec": {"taints": list(taints), **spec},
        "status": {
            "allocatable": {"cpu": cpu, "memory": memory, "pods": "110", **offered},
            "conditions": [{"type": "Ready", "status": ready}],
        },
    }


def cpu_node(cpu: str = "16", memory: str = "64Gi") -> dict[str, Any]:
    return node(gpus=0, taints=(), cpu=cpu, memory=memory)


def fit(raw: dict[str, Any], size: str = "13B", **spec: Any) -> Fit:
    return node_fit(pods_of(plan(document(size=size, **spec))), read_node(raw))


FITTING: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "80 GB by GPU feature discovery": (node(A100_80), {"size": "13B"}),
    "40 GB by GPU feature discovery": (node(A100_40), {"size": "7B"}),
    "80 GB where 40 are enough": (node(A100_80), {"size": "7B"}),
    "80 GB on GKE": (
        node({"cloud.google.com/gke-accelerator": "nvidia-a100-80gb"}),
        {"size": "13B"},
    ),
    "80 GB on EKS": (node({"node.kubernetes.io/instance-type": "p4de.24xlarge"}), {"size": "13B"}),
    "a strict product": (node(A100_80), {"size": "13B", "gpu": {"strict": True}}),
    "four GPUs asked, and half the memory": (
        node(A100_80 | {"nvidia.com/gpu.count": "4"}, gpus=4, memory="300Gi"),
        {"size": "13B", "gpu": {"perNode": 4}, "training": {"microBatchSize": 8}},
    ),
    "no GPUs for Tiny": (cpu_node(), {"size": "Tiny"}),
    "the user's toleration": (
        node(A100_80, taints=(GPU_TAINT, {"key": "sku", "value": "gpu", "effect": "NoExecute"})),
        {"size": "13B", "scheduling": {"tolerations": [{"key": "sku", "value": "gpu"}]}},
    ),
    "the architecture that the user names": (
        node(A100_80 | {"kubernetes.io/arch": "arm64"}),
        {"size": "13B", "scheduling": {"nodeSelector": {"kubernetes.io/arch": "arm64"}}},
    ),
    "a taint that only prefers": (
        node(A100_80, taints=({"key": "old", "effect": "PreferNoSchedule"},)),
        {"size": "13B"},
    ),
    "the user's node label": (
        node(A100_80 | {"team": "vision"}),
        {"size": "13B", "scheduling": {"nodeSelector": {"team": "vision"}}},
    ),
}


@pytest.mark.parametrize(("raw", "spec"), FITTING.values(), ids=FITTING)
def test_a_node_that_can(raw: dict[str, Any], spec: dict[str, Any]) -> None:
    assert fit(raw, **spec).train == ()


NEVER: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "40 GB": (
        node(A100_40),
        {"size": "13B"},
        "40 GB GPUs (NVIDIA-A100-SXM4-40GB), the run needs 80 GB",
    ),
    "a product that nobody knows": (
        node(A100_40 | {"nvidia.com/gpu.product": "X", "nvidia.com/gpu.memory": "24576"}),
        {"size": "7B"},
        "24 GB GPUs (X), the run needs 40 GB",
    ),
    "memory that is no number": (
        node(A100_40 | {"nvidia.com/gpu.product": "", "nvidia.com/gpu.memory": "much"}),
        {"size": "7B"},
        "GPUs of unknown memory, the run needs 40 GB",
    ),
    "larger than allowed": (
        node(A100_80),
        {"size": "7B", "gpu": {"allowLarger": False}},
        "80 GB GPUs (NVIDIA-A100-SXM4-80GB), the run takes no larger ones (gpu.allowLarger: false)",
    ),
    "a little less memory than the product's name says": (
        node(A100_80 | {"nvidia.com/gpu.memory": "81251"}),
        {"size": "7B", "gpu": {"allowLarger": False}},
        "80 GB GPUs (NVIDIA-A100-SXM4-80GB), the run takes no larger ones (gpu.allowLarger: false)",
    ),
    "four GPUs, said by a label and by the resource": (
        node(A100_80 | {"nvidia.com/gpu.count": "4"}, gpus=4),
        {"size": "13B"},
        "has 4 GPUs, the run asks for 8",
    ),
    "a GPU is broken": (node(A100_80, gpus=7), {"size": "13B"}, "has 7 GPUs, the run asks for 8"),
    "no device plugin": (
        node(A100_80, gpus=0),
        {"size": "13B"},
        "its GPUs are not offered to pods: the NVIDIA device plugin does not serve them",
    ),
    "no GPUs at all": (cpu_node(), {"size": "13B"}, "offers no GPUs"),
    "GPUs without labels": (
        node(),
        {"size": "13B"},
        "no label says what GPUs it has (nvidia.com/gpu.memory, cloud.google.com/gke-accelerator "
        "or a known instance type): GPU feature discovery does not run there",
    ),
    "an old family": (
        node(A100_80 | {"nvidia.com/gpu.family": "volta"}),
        {"size": "13B"},
        "label nvidia.com/gpu.family is volta, the run needs ampere or hopper or blackwell",
    ),
    "shared GPUs": (
        node(A100_80 | {"nvidia.com/gpu.sharing-strategy": "time-slicing"}),
        {"size": "13B"},
        "its GPUs are shared (time-slicing)",
    ),
    "another instance type": (
        node({"node.kubernetes.io/instance-type": "p4d.24xlarge"}),
        {"size": "13B"},
        "label node.kubernetes.io/instance-type is p4d.24xlarge, the run needs p4de.24xlarge or "
        "ml.p4de.24xlarge or Standard_ND96amsr_A100_v4 or BM.GPU.A100-v2.8",
    ),
    "another strict product": (
        node(A100_40),
        {"size": "13B", "gpu": {"strict": True}},
        "label nvidia.com/gpu.product is NVIDIA-A100-SXM4-40GB, the run needs "
        "NVIDIA-A100-SXM4-80GB",
    ),
    "another architecture": (
        node(A100_80 | {"kubernetes.io/arch": "arm64"}),
        {"size": "13B"},
        "label kubernetes.io/arch is arm64, the run needs amd64",
    ),
    "the architecture that the user names": (
        node(A100_80),
        {"size": "13B", "scheduling": {"nodeSelector": {"kubernetes.io/arch": "arm64"}}},
        "label kubernetes.io/arch is amd64, the run needs arm64",
    ),
    "a taint": (
        node(A100_80, taints=(GPU_TAINT, {"key": "sku", "value": "gpu", "effect": "NoExecute"})),
        {"size": "13B"},
        "taint sku=gpu:NoExecute is not tolerated",
    ),
    "the usual taint, for a run without GPUs": (
        node(A100_80),
        {"size": "Tiny"},
        "taint nvidia.com/gpu=present:NoSchedule is not tolerated",
    ),
    "memory": (
        node(A100_80, memory="480Gi"),
        {"size": "13B"},
        "560Gi memory asked, 480Gi allocatable",
    ),
    "cores": (node(A100_80, cpu="63900m"), {"size": "13B"}, "80 CPUs asked, 63.9 allocatable"),
    "a missing label of the user's": (
        node(A100_80),
        {"size": "13B", "scheduling": {"nodeSelector": {"team": "vision"}}},
        "no label team, the run needs vision",
    ),
}


@pytest.mark.parametrize(("raw", "spec", "reason"), NEVER.values(), ids=NEVER)
def test_a_node_that_never_can(raw: dict[str, Any], spec: dict[str, Any], reason: str) -> None:
    assert fit(raw, **spec).train == (reason,)


def test_every_reason_is_given() -> None:
    found = fit(node(A100_40, memory="480Gi", taints=({"key": "x", "effect": "NoSchedule"},)))
    assert len(found.train) == 3


def test_prep_is_judged_apart() -> None:
    assert fit(cpu_node()).prep == ()
    assert fit(cpu_node(memory="16Gi")).prep == ("32Gi memory asked, 16Gi allocatable",)
    assert fit(node(A100_80)).prep == ("taint nvidia.com/gpu=present:NoSchedule is not tolerated",)


def test_what_passes_is_not_never() -> None:
    passing = (
        GPU_TAINT,
        {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"},
        {"key": "node.kubernetes.io/not-ready", "effect": "NoExecute"},
    )
    found = fit(node(A100_80, taints=passing, unschedulable=True, ready="Unknown"))
    assert (found.train, found.now) == ((), ("cordoned", "not ready"))


ODD: dict[str, dict[str, Any]] = {
    "empty": {},
    "nothing but nulls": {"metadata": None, "spec": None, "status": None},
    "wrong types": {
        "metadata": {"name": 3, "labels": ["x"]},
        "spec": {"taints": {"key": "x"}, "unschedulable": "yes"},
        "status": {"allocatable": {"cpu": {}, "memory": "lots"}, "conditions": ["Ready"]},
    },
}


@pytest.mark.parametrize("raw", ODD.values(), ids=ODD)
def test_a_node_that_cannot_be_read_never_fits(raw: dict[str, Any]) -> None:
    assert fit(raw).train == ("offers no GPUs",)


KEYS = st.sampled_from(["a", "b", "c"])
TAINTS = st.builds(Taint, KEYS, st.sampled_from(["", "v", "w"]), st.sampled_from(["NoSchedule"]))


@given(TAINTS)
def test_a_toleration_covers_what_it_names(taint: Taint) -> None:
    assert tolerates({"operator": "Exists"}, taint)
    assert tolerates({"key": taint.key, "operator": "Exists"}, taint)
    assert tolerates({"key": taint.key, "value": taint.value, "effect": taint.effect}, taint)
    assert not tolerates({"key": taint.key, "value": taint.value + "x"}, taint)
    assert not tolerates({"key": taint.key + "x", "operator": "Exists"}, taint)
    assert not tolerates({"operator": "Exists", "effect": "NoExecute"}, taint)


def test_a_node_is_read_whole() -> None:
    taints = (GPU_TAINT, {"key": "sku", "effect": "NoExecute"})
    read = read_node(node({"zone": "a"}, taints=taints, memory="1Ki", cpu="1500m"))
    assert read == Node(
        name="node-a",
        labels={"kubernetes.io/arch": "amd64", "zone": "a"},
        taints=(
            Taint("nvidia.com/gpu", "present", "NoSchedule"),
            Taint("sku", "", "NoExecute"),
        ),
        allocatable={
            "cpu": Fraction(3, 2),
            "memory": Fraction(1024),
            "pods": Fraction(110),
            "nvidia.com/gpu": Fraction(8),
        },
    )
    assert [*map(str, read.taints)] == ["nvidia.com/gpu=present:NoSchedule", "sku:NoExecute"]
    assert fit(node(A100_80)).now == ()
