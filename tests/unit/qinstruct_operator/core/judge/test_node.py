"""Whether a pod's node can still speak for it."""

from datetime import UTC, datetime
from typing import Any

import pytest

from qinstruct_operator.core.judge.node import Lost, read_node, why_lost
from qinstruct_operator.core.judge.pods import read_pod
from support.observed import (
    Raw,
    at_time,
    condition,
    ended,
    node,
    pod,
    pytorchjob,
    running,
    unreachable,
)

JOB = pytorchjob()
TEN_AGO = datetime(2026, 3, 1, 11, 50, tzinfo=UTC)
READY, NOT_READY = condition("Ready"), at_time(condition("Ready", status="False"), 10)
CONTAINERS_READY = condition("ContainersReady")
SILENT = (
    "node gpu-1 is not Ready since 2026-03-01T11:50:00Z (NodeStatusUnknown: Kubelet stopped "
    "posting node status)"
)
CUT_OFF = "node gpu-1 does not answer since 2026-03-01T11:50:00Z"


def pod_with(*conditions: Raw, **more: Any) -> Raw:
    return pod(JOB, running(), *conditions, **more)


CASES: dict[str, tuple[Raw, tuple[Raw, ...] | None, Lost | None]] = {
    "all is well": (pod_with(READY, CONTAINERS_READY), (node(),), None),
    "all is well, and its node was not asked": (pod_with(READY, CONTAINERS_READY), None, None),
    "the kubelet is silent": (
        pod_with(NOT_READY, CONTAINERS_READY),
        (unreachable(),),
        Lost(SILENT, TEN_AGO),
    ),
    "the kubelet is silent, its pod is not marked yet": (
        pod_with(READY, CONTAINERS_READY),
        (unreachable(),),
        Lost(SILENT, TEN_AGO),
    ),
    "the kubelet itself is not ready": (
        pod_with(READY),
        (node("False", "KubeletNotReady", "container runtime is down"),),
        Lost(
            "node gpu-1 is not Ready since 2026-03-01T11:50:00Z (KubeletNotReady: container "
            "runtime is down)",
            TEN_AGO,
        ),
    ),
    "a node that says nothing of why": (
        pod_with(READY),
        (node("False"),),
        Lost("node gpu-1 is not Ready since 2026-03-01T11:50:00Z", TEN_AGO),
    ),
    "the node is gone": (
        pod_with(READY),
        (),
        Lost("node gpu-1 is gone from the cluster", None),
    ),
    "a node that has no condition yet": (pod_with(READY), ({"metadata": {"name": "gpu-1"}},), None),
    "marked by the node's controller": (
        pod_with(NOT_READY, CONTAINERS_READY),
        None,
        Lost(CUT_OFF, TEN_AGO),
    ),
    "marked, but its node answers": (pod_with(NOT_READY, CONTAINERS_READY), (node(),), None),
    "a kubelet says that a container is not ready": (
        pod_with(
            NOT_READY | {"reason": "ContainersNotReady"},
            CONTAINERS_READY | {"status": "False", "reason": "ContainersNotReady"},
        ),
        None,
        None,
    ),
    "a kubelet says that a readiness gate is closed": (
        pod_with(NOT_READY | {"reason": "ReadinessGatesNotReady"}, CONTAINERS_READY),
        None,
        None,
    ),
    "a pod that has ended needs no node": (pod(JOB, ended()), (), None),
    "a pod that the cluster gave up needs no node": (pod_with(READY, phase="Failed"), (), None),
    "a pod without a node": (pod(JOB, node=None), None, None),
}


@pytest.mark.parametrize(("raw", "found", "want"), CASES.values(), ids=CASES)
def test_why_it_is_lost(raw: Raw, found: tuple[Raw, ...] | None, want: Lost | None) -> None:
    assert why_lost(read_pod(raw), None if found is None else read_node(found)) == want
