"""Pods that their kubelet has ended or refused, with its word for it."""

from support.failure_cases.case import AGAIN, JOB, LOG_SAYS_MORE, Case, want
from support.observed import condition, ended, pod

NO_ROOM = "Node didn't have enough resource: nvidia.com/gpu, requested: 8, used: 8, capacity: 8"
EVICTION = (
    "The node was low on resource: ephemeral-storage. Threshold quantity: 1Gi, available: 512Mi. "
    "Container pytorch was using 30Gi, request is 0, has larger consumption of "
    "ephemeral-storage. "
)
ELSEWHERE = "if the same node takes it again, keep the run away from it until it is mended"
REFUSED = "the kubelet of node gpu-1 refused x-1-master-0"
ENDED = "x-1-master-0 ended"
TAKEN = f"something else had taken the place meanwhile; {AGAIN}; {ELSEWHERE}"
KUBELETS = [
    (
        "UnexpectedAdmissionError",
        "UnexpectedAdmissionError",
        REFUSED,
        "a device could not be handed out, often a GPU that is not healthy; look at the node's "
        f"device plugin, and {AGAIN}; {ELSEWHERE}",
    ),
    ("OutOfcpu", "NodeFull", REFUSED, TAKEN),
    ("OutOfmemory", "NodeFull", REFUSED, TAKEN),
    ("OutOfpods", "NodeFull", REFUSED, TAKEN),
    ("OutOfephemeral-storage", "NodeFull", REFUSED, TAKEN),
    (
        "NodeAffinity",
        "NodeAffinity",
        REFUSED,
        "the node's labels have changed, and no longer fit the pod's nodeSelector; restore them, "
        f"or correct spec.scheduling.nodeSelector, and {AGAIN}",
    ),
    (
        "TopologyAffinityError",
        "TopologyAffinityError",
        REFUSED,
        "the node's Topology Manager cannot give what the pod asks for from one NUMA node; use "
        "nodes with another policy (spec.scheduling.nodeSelector), or have it changed, and "
        f"{AGAIN}",
    ),
    ("NodeShutdown", "NodeShutdown", REFUSED, f"its node was shut down; {AGAIN}"),
    ("Terminated", "NodeShutdown", ENDED, f"its node was shut down; {AGAIN}"),
    (
        "Preempting",
        "Preempting",
        ENDED,
        f"a pod that the node itself needs took its place; {AGAIN}",
    ),
    ("PodOSNotSupported", "NodeRefused", REFUSED, f"{AGAIN}; {ELSEWHERE}"),
    ("AppArmor", "NodeRefused", REFUSED, f"{AGAIN}; {ELSEWHERE}"),
]

CASES = {
    "evicted: the disk of the node": Case(
        pod(JOB, ended(137), phase="Failed", reason="Evicted", message=EVICTION),
        want(
            "Evicted",
            f"x-1-master-0 ended with exit code 137 (Evicted): {EVICTION.strip(' .')}; free what "
            "the message names, and create the run again: it goes on from what it has saved",
            137,
        ),
    ),
    "evicted before its container was made": Case(
        pod(
            JOB,
            None,
            phase="Failed",
            reason="Evicted",
            message="Pod was rejected: The node had condition: [DiskPressure]. ",
        ),
        want(
            "Evicted",
            "x-1-master-0 ended (Evicted): Pod was rejected: The node had condition: "
            "[DiskPressure]; free what the message names, and create the run again: it goes on "
            "from what it has saved",
        ),
    ),
    "the kubelet does not take it after all": Case(
        pod(
            JOB,
            None,
            phase="Failed",
            reason="OutOfnvidia.com/gpu",
            message=f"Pod was rejected: {NO_ROOM}",
        ),
        want(
            "NodeFull",
            "the kubelet of node gpu-1 refused x-1-master-0 (OutOfnvidia.com/gpu): Pod was "
            f"rejected: {NO_ROOM}; something else had taken the place meanwhile; {AGAIN}; "
            f"{ELSEWHERE}",
        ),
    ),
    **{
        f"a kubelet says {word}": Case(
            pod(JOB, None, phase="Failed", reason=word, message="Pod was rejected: no"),
            want(reason, f"{said} ({word}): Pod was rejected: no; {way_out}"),
        )
        for word, reason, said, way_out in KUBELETS
    },
    "a node that is shut down while it trains": Case(
        pod(
            JOB,
            ended(143),
            condition("DisruptionTarget", "TerminationByKubelet"),
            phase="Failed",
            reason="Terminated",
            message="Pod was terminated in response to imminent node shutdown.",
        ),
        want(
            "NodeShutdown",
            "x-1-master-0 ended with exit code 143 (Terminated): Pod was terminated in response to "
            f"imminent node shutdown; its node was shut down; {AGAIN}",
            143,
        ),
    ),
    "evicted by its kubelet, which calls that a disruption": Case(
        pod(
            JOB,
            ended(137),
            condition("DisruptionTarget", "TerminationByKubelet"),
            phase="Failed",
            reason="Evicted",
            message="The node was low on resource: memory.",
        ),
        want(
            "Evicted",
            "x-1-master-0 ended with exit code 137 (Evicted): The node was low on resource: "
            f"memory; free what the message names, and {AGAIN}",
            137,
        ),
    ),
    "a word of a newer kubelet about a pod that ran": Case(
        pod(JOB, ended(1), phase="Failed", reason="Overheated", message="It burns."),
        want(
            "Overheated",
            f"x-1-master-0 ended with exit code 1 (Overheated): It burns; {LOG_SAYS_MORE}",
            1,
        ),
    ),
}
