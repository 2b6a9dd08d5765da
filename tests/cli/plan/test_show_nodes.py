"""Which nodes can ever run a plan's pods, on the screen."""

import io
from typing import Any

from rich.console import Console

from qinstruct_operator.cli.plan.show_nodes import show_nodes
from support.cli.cluster_commands import EVIL, TAMED
from support.operator_documents import plan, sample

PLAN = plan(sample("run-13b-after"))


def gpu_node(name: str, gigabytes: int, **spec: Any) -> dict[str, Any]:
    labels = {
        "nvidia.com/gpu.product": f"NVIDIA-A100-SXM4-{gigabytes}GB",
        "nvidia.com/gpu.memory": str(gigabytes * 1024),
        "nvidia.com/gpu.count": "8",
        "nvidia.com/gpu.family": "ampere",
    }
    node = cpu_node(name, labels)
    node["spec"] = {"taints": [{"key": "nvidia.com/gpu", "effect": "NoSchedule"}], **spec}
    node["status"]["allocatable"] |= {"nvidia.com/gpu": "8"}
    return node


def cpu_node(name: str, labels: dict[str, str] | None = None) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": {"kubernetes.io/arch": "amd64"} | (labels or {})},
        "spec": {},
        "status": {
            "allocatable": {"cpu": "96", "memory": "1100Gi"},
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    }


def shown(*nodes: dict[str, Any]) -> list[str]:
    """The lines that are printed, without the empty one and the title above them."""
    stream = io.StringIO()
    show_nodes(Console(file=stream, width=200), PLAN, nodes)
    empty, title, *rows = (line.rstrip() for line in stream.getvalue().splitlines())
    assert (empty, title) == ("", "Nodes")
    return rows


def test_nodes_that_fit_and_why_others_do_not() -> None:
    assert shown(
        gpu_node("gpu-b", 80, unschedulable=True),
        gpu_node("gpu-a", 80),
        *(gpu_node(f"small-{number}", 40) for number in range(10)),
        cpu_node("cpu-0"),
        cpu_node("cpu-1"),
        cpu_node("arm", {"kubernetes.io/arch": "arm64"}),
    ) == [
        "training pod     2 of 15 nodes can ever fit: gpu-a, gpu-b (cordoned)",
        "                 10 cannot: 40 GB GPUs (NVIDIA-A100-SXM4-40GB), the run needs 80 GB: "
        "small-0, small-1, small-2, small-3, small-4, small-5 and 4 more",
        "                 3 cannot: offers no GPUs: arm, cpu-0, cpu-1",
        "preparation pod  2 of 15 nodes can ever fit: cpu-0, cpu-1",
        "                 12 cannot: taint nvidia.com/gpu:NoSchedule is not tolerated: "
        "gpu-a, gpu-b (cordoned), small-0, small-1, small-2, small-3 and 6 more",
        "                 1 cannot: label kubernetes.io/arch is arm64, the run needs amd64: arm",
    ]


def test_a_pod_that_no_node_can_run_is_a_warning() -> None:
    kinds = [gpu_node(f"n-{number}", 10 + number) for number in range(12)]
    rows = shown(*kinds, cpu_node("cpu-0"))
    assert rows[0] == "training pod     0 of 13 nodes can ever fit"
    assert any("5 cannot, for other reasons: " in row for row in rows)
    assert rows[-2:] == [
        "",
        "warning: no node of this cluster can ever run the training pod: it waits until one joins",
    ]


def test_a_fitting_cluster_gets_no_warning() -> None:
    assert not any("warning" in row for row in shown(gpu_node("gpu-a", 80), cpu_node("cpu-0")))


def test_names_of_nodes_are_sanitized() -> None:
    (row, *_) = (row for row in shown(cpu_node(EVIL)) if "cannot" in row)
    assert row.endswith(TAMED)
