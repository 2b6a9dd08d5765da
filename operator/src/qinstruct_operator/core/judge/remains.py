"""Pods whose workload is gone: what they keep from starting, and how each of them goes. Pure."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from qinstruct_operator.core.judge.node import Node, why_lost
from qinstruct_operator.core.judge.pods import Pod
from qinstruct_operator.core.judge.trouble import why_deleted


def pods_remain(pods: Sequence[Pod], nodes: Mapping[str, Node], now: datetime) -> str:
    """What such pods hold up, and the way out of each.

    Args:
        pods: one at least.
        nodes: those of them that were read, by name.
        now: the current time.
    """
    where = ", ".join(f"{pod.name} on node {pod.node}" if pod.node else pod.name for pod in pods)
    ways = {pod.name: _way_out(pod, nodes.get(pod.node or ""), now) for pod in pods}
    if ends := " ".join(name for name, way in ways.items() if not way):
        ways[ends] = f"let it end, and `kubectl delete pod {ends}`"
    return (
        f"a pod is there that no workload of this run controls ({where}); another one beside it "
        "would write to the same output, or not get its name; it goes on when that pod is gone: "
        f"{'; '.join(way for way in ways.values() if way)}"
    )


def _way_out(pod: Pod, node: Node | None, now: datetime) -> str:
    """How a pod goes that does not go by its own end."""
    force = f"`kubectl delete pod {pod.name} --force`"
    if lost := why_lost(pod, node):
        if node is not None and not node.exists:
            return (
                f"{lost.text}: the cluster removes {pod.name} within minutes; if it does not, run "
                f"{force}"
            )
        return (
            f"{lost.text}: {pod.name} does not go by itself until that node is back; if it will "
            f"not come back, make sure that its machine is off, and run {force}, or delete the node"
        )
    if pod.deleted and pod.gone_by:
        return why_deleted(pod, pod.deleted, pod.gone_by, now).message
    return ""
