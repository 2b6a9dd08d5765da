"""Parse the node of a pod, and judge whether it can still speak for the pod. Pure.

A kubelet that is gone writes nothing more: its pods stay Running with all their containers until
somebody deletes them. Only the node, or what its controller writes into the pod, tells the truth.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from qinstruct_operator.core.judge.pods import Pod
from qinstruct_operator.core.times import parse_time, time_text
from qinstruct_operator.core.untyped_json import Raw, conditions_of, text
from qinstruct_trainer.contract.safe_text import one_line

_WORD_CHARS = 253


@dataclass(frozen=True)
class Node:
    """A node that was asked for.

    Attributes:
        exists: whether there is one of that name.
        is_ready: its condition Ready.
        since: when that changed last.
        reason, message: of that condition.
        heartbeat: when its kubelet wrote it last, by the node's own clock: every five minutes at
            least.
    """

    exists: bool = True
    is_ready: bool = True
    since: datetime | None = None
    reason: str = ""
    message: str = ""
    heartbeat: datetime | None = None


@dataclass(frozen=True)
class Lost:
    """A node that no longer speaks for its pods: a clause, and since when it is so, if known."""

    text: str
    since: datetime | None


def read_node(found: Sequence[Raw]) -> Node:
    """The node that was found; one that exists not where none was."""
    if not found:
        return Node(exists=False, is_ready=False)
    ready = conditions_of(found[0]).get("Ready", {})
    return Node(
        is_ready=text(ready, "status") in ("", "True"),
        since=parse_time(text(ready, "lastTransitionTime")),
        reason=one_line(text(ready, "reason"))[:_WORD_CHARS],
        message=text(ready, "message"),
        heartbeat=parse_time(text(ready, "lastHeartbeatTime")),
    )


def why_lost(pod: Pod, node: Node | None) -> Lost | None:
    """Why nobody can say how a pod is that has not ended; None where its node can.

    Args:
        pod: the pod.
        node: its node; None where it was not read.
    """
    if pod.node is None or pod.is_over:
        return None
    if node is None:
        said = f"node {pod.node} does not answer{_since(pod.cut_off)}"
        return Lost(said, pod.cut_off) if pod.cut_off else None
    if not node.exists:
        return Lost(f"node {pod.node} is gone from the cluster", None)
    if node.is_ready:
        return None
    why = ": ".join(filter(None, (node.reason, one_line(node.message).rstrip("."))))
    said = f"node {pod.node} is not Ready{_since(node.since)}" + (f" ({why})" if why else "")
    return Lost(said, node.since)


def _since(moment: datetime | None) -> str:
    return f" since {time_text(moment)}" if moment else ""
