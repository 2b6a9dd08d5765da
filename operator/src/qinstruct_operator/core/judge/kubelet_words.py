"""What the word of a kubelet means with which it ended a pod, or refused to start it. Pure data.

https://github.com/kubernetes/kubernetes/tree/v1.37.2/pkg/kubelet: `lifecycle/predicate.go`,
`eviction`, `nodeshutdown`, `preemption`, `cm/topologymanager`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from qinstruct_operator.core.judge import reasons
from qinstruct_operator.core.judge.pods import Pod

AGAIN: Final = "create the run again: it goes on from what it has saved"
"""The way out of whatever was an accident; of prep the cluster itself takes it."""

_ELSEWHERE: Final = "if the same node takes it again, keep the run away from it until it is mended"
_OUT_OF: Final = "OutOf"  # and the name of a resource: cpu, pods, nvidia.com/gpu


@dataclass(frozen=True)
class Meaning:
    """A word of a kubelet in ours.

    Attributes:
        refuses: whether the pod was never let in; else it was there, and may have run.
    """

    reason: str
    way_out: str
    refuses: bool = True


_NODE_FULL: Final = Meaning(
    reasons.NODE_FULL, f"something else had taken the place meanwhile; {AGAIN}; {_ELSEWHERE}"
)
_NODE_REFUSED: Final = Meaning(reasons.NODE_REFUSED, f"{AGAIN}; {_ELSEWHERE}")
_SHUT_DOWN: Final = f"its node was shut down; {AGAIN}"
WORDS: Final[Mapping[str, Meaning]] = MappingProxyType(
    {
        "UnexpectedAdmissionError": Meaning(
            reasons.ADMISSION_ERROR,
            "a device could not be handed out, often a GPU that is not healthy; look at the "
            f"node's device plugin, and {AGAIN}; {_ELSEWHERE}",
        ),
        "NodeAffinity": Meaning(
            reasons.NODE_AFFINITY,
            "the node's labels have changed, and no longer fit the pod's nodeSelector; restore "
            f"them, or correct spec.scheduling.nodeSelector, and {AGAIN}",
        ),
        "TopologyAffinityError": Meaning(
            reasons.TOPOLOGY_AFFINITY,
            "the node's Topology Manager cannot give what the pod asks for from one NUMA node; "
            "use nodes with another policy (spec.scheduling.nodeSelector), or have it changed, "
            f"and {AGAIN}",
        ),
        "NodeShutdown": Meaning(reasons.NODE_SHUTDOWN, _SHUT_DOWN),
        "Terminated": Meaning(reasons.NODE_SHUTDOWN, _SHUT_DOWN, refuses=False),
        "Preempting": Meaning(
            reasons.PREEMPTING,
            f"a pod that the node itself needs took its place; {AGAIN}",
            refuses=False,
        ),
        "Evicted": Meaning(
            reasons.EVICTED, f"free what the message names, and {AGAIN}", refuses=False
        ),
    }
)
"""By the reason in a pod's status; `OutOf...` and unknown ones of pods that never began beside."""


def meaning_of(pod: Pod) -> Meaning | None:
    """What the reason in a pod's status means; None where it is none of a kubelet's words."""
    if pod.reason in WORDS:
        return WORDS[pod.reason]
    if pod.reason == reasons.DEADLINE_EXCEEDED or not pod.reason or pod.container is not None:
        return None
    return _NODE_FULL if pod.reason.startswith(_OUT_OF) else _NODE_REFUSED
