"""Pods that outlive their workload, alone and beside each other."""

import pytest

from qinstruct_operator.core.judge.node import Node, read_node
from qinstruct_operator.core.judge.pods import read_pod
from qinstruct_operator.core.judge.remains import pods_remain
from support.observed import (
    NOW,
    Raw,
    at_time,
    condition,
    deleting,
    ended,
    node,
    pod,
    prep_job,
    pytorchjob,
    running,
    unreachable,
)

JOB = pytorchjob()
RUNS, OVER = pod(JOB, running()), pod(JOB, ended())
CUT_OFF = (at_time(condition("Ready", status="False"), 10), condition("ContainersReady"))
PREP_POD = pod(prep_job(), running(), name="x-prep-a", node="cpu-1")
SILENT = (
    "node gpu-1 is not Ready since 2026-03-01T11:50:00Z (NodeStatusUnknown: Kubelet stopped "
    "posting node status)"
)
STAYS = (
    "x-1-master-0 does not go by itself until that node is back; if it will not come back, make "
    "sure that its machine is off, and run `kubectl delete pod x-1-master-0 --force`, or delete "
    "the node"
)
GONE = (
    "node gpu-1 is gone from the cluster: the cluster removes x-1-master-0 within minutes; if it "
    "does not, run `kubectl delete pod x-1-master-0 --force`"
)
LATE = (
    "x-1-master-0 is being deleted since 2026-03-01T11:45:00Z, should have ended by "
    "2026-03-01T11:55:00Z, and has not; look at the kubelet of node gpu-1; if nothing of it runs "
    "for sure, run `kubectl delete pod x-1-master-0 --force`"
)
ENDS = (
    "x-1-master-0 is being deleted since 2026-03-01T11:59:00Z; it may still save a checkpoint, "
    "and ends by 2026-03-01T12:09:00Z"
)
LET_IT = "let it end, and `kubectl delete pod x-1-master-0`"
ALIVE, DEAD = read_node((node(),)), read_node((unreachable(),))

CASES = {
    "its node is alive": (RUNS, ALIVE, LET_IT),
    "nobody may read its node": (RUNS, None, LET_IT),
    "it has ended": (OVER, None, LET_IT),
    "it has ended, and its node is dead": (OVER, DEAD, LET_IT),
    "without a node": (pod(JOB, node=None), None, LET_IT),
    "its node is dead": (RUNS, DEAD, f"{SILENT}: {STAYS}"),
    "its node is dead, and it is being deleted": (
        deleting(RUNS, 15),
        DEAD,
        f"{SILENT}: {STAYS}",
    ),
    "its node is dead, and nobody may read it": (
        deleting(pod(JOB, running(), *CUT_OFF), 15),
        None,
        f"node gpu-1 does not answer since 2026-03-01T11:50:00Z: {STAYS}",
    ),
    "its node is gone": (deleting(RUNS, 15), read_node(()), GONE),
    "it is being deleted on a node that is alive": (deleting(RUNS, 1), ALIVE, ENDS),
    "it should be gone from a node that is alive": (deleting(RUNS, 15), ALIVE, LATE),
    "it should be gone, and nobody may read its node": (deleting(RUNS, 15), None, LATE),
}


@pytest.mark.parametrize(("raw", "found", "way_out"), CASES.values(), ids=CASES)
def test_how_it_goes(raw: Raw, found: Node | None, way_out: str) -> None:
    nodes = {"gpu-1": found} if found else {}
    said = pods_remain([read_pod(raw)], nodes, NOW)
    assert said.endswith(f"it goes on when that pod is gone: {way_out}")


def test_each_of_several_has_its_own_way_out() -> None:
    pods = [read_pod(each) for each in (RUNS, PREP_POD, pod(prep_job(), name="b", node="cpu-1"))]
    said = pods_remain(pods, {"gpu-1": DEAD, "cpu-1": ALIVE}, NOW)
    assert "(x-1-master-0 on node gpu-1, x-prep-a on node cpu-1, b on node cpu-1)" in said
    assert said.endswith(f"{SILENT}: {STAYS}; let it end, and `kubectl delete pod x-prep-a b`")
