"""Pods in which a container failed that is not ours."""

from support.failure_cases.case import AGAIN, JOB, LOG_SAYS_MORE, Case, want
from support.kinds import TRAINING_CONTAINER
from support.observed import ended, pod, running, waiting

CASES = {
    "a container that another put before ours": Case(
        pod(
            JOB,
            waiting("PodInitializing"),
            phase="Failed",
            initContainerStatuses=[
                {"name": "first", "state": ended()},
                {"name": "proxy-init", "state": ended(3, message="loading\nno such rule.\n")},
            ],
        ),
        want(
            "InitFailed",
            "init container proxy-init of x-1-master-0 ended with exit code 3, so that ours never "
            "started: no such rule; it is not ours: mend it, or keep what puts it into this run's "
            f"pods away, and {AGAIN}",
        ),
    ),
    "the same, out of memory": Case(
        pod(
            JOB,
            None,
            phase="Failed",
            initContainerStatuses=[{"name": "proxy-init", "state": ended(137, "OOMKilled")}],
        ),
        want(
            "InitFailed",
            "init container proxy-init of x-1-master-0 ended with exit code 137, so that ours "
            "never started: OOMKilled; it is not ours: mend it, or keep what puts it into this "
            f"run's pods away, and {AGAIN}",
        ),
    ),
    "evicted while a container before ours ran": Case(
        pod(
            JOB,
            waiting("PodInitializing"),
            phase="Failed",
            reason="Evicted",
            message="The node was low on resource: memory. ",
            initContainerStatuses=[{"name": "proxy-init", "state": ended(137)}],
        ),
        want(
            "Evicted",
            "x-1-master-0 ended (Evicted): The node was low on resource: memory; free what the "
            f"message names, and {AGAIN}",
        ),
    ),
    "a container beside ours, which ended well": Case(
        pod(
            JOB,
            phase="Failed",
            containerStatuses=[
                {"name": "istio-proxy", "state": ended(1, message="starting\nno control plane.\n")},
                {"name": TRAINING_CONTAINER, "state": ended()},
            ],
        ),
        want(
            "SidecarFailed",
            "container istio-proxy of x-1-master-0 ended with exit code 1: no control plane; ours "
            "ended well; istio-proxy is not ours: mend it, or keep what puts it into this run's "
            f"pods away, and {AGAIN}",
        ),
    ),
    "two containers beside ours": Case(
        pod(
            JOB,
            phase="Failed",
            containerStatuses=[
                {"name": "agent", "state": ended(137, "OOMKilled")},
                {"name": "fine", "state": ended()},
                {"name": "istio-proxy", "state": ended(2)},
                {"name": TRAINING_CONTAINER, "state": ended()},
            ],
        ),
        want(
            "SidecarFailed",
            "container agent of x-1-master-0 ended with exit code 137 (OOMKilled), container "
            "istio-proxy of x-1-master-0 ended with exit code 2; ours ended well; agent, "
            "istio-proxy are not ours: mend them, or keep what puts them into this run's pods "
            f"away, and {AGAIN}",
        ),
    ),
    "a container beside ours, which never began": Case(
        pod(
            JOB,
            phase="Failed",
            containerStatuses=[
                {"name": "istio-proxy", "state": ended(1)},
                {"name": TRAINING_CONTAINER, "state": waiting("ContainerCreating")},
            ],
        ),
        want(
            "SidecarFailed",
            "container istio-proxy of x-1-master-0 ended with exit code 1; ours never started; "
            "istio-proxy is not ours: mend it, or keep what puts it into this run's pods away, "
            f"and {AGAIN}",
        ),
    ),
    "a container beside ours, while ours ran as far as the node has told": Case(
        pod(
            JOB,
            phase="Failed",
            containerStatuses=[
                {"name": "istio-proxy", "state": ended(1)},
                {"name": TRAINING_CONTAINER, "state": running()},
            ],
        ),
        want(
            "SidecarFailed",
            "container istio-proxy of x-1-master-0 ended with exit code 1; ours still ran; "
            "istio-proxy is not ours: mend it, or keep what puts it into this run's pods away, "
            f"and {AGAIN}",
        ),
    ),
    "ours, and one beside it": Case(
        pod(
            JOB,
            phase="Failed",
            containerStatuses=[
                {"name": "istio-proxy", "state": ended(2)},
                {"name": TRAINING_CONTAINER, "state": ended(1)},
            ],
        ),
        want(
            "Error", f"container pytorch of x-1-master-0 ended with exit code 1; {LOG_SAYS_MORE}", 1
        ),
    ),
}
