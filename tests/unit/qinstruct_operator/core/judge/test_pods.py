"""What a pod says, and which of its containers is ours."""

from datetime import UTC, datetime

import pytest

from qinstruct_operator.core.judge.pods import (
    OWN_CONTAINERS,
    Container,
    InitContainer,
    Pod,
    newest_pod,
    own_container,
    read_pod,
)
from support.kinds import TRAINING_CONTAINER
from support.observed import (
    CREATED,
    Raw,
    at_time,
    condition,
    deleting,
    ended,
    pod,
    prep_job,
    pytorchjob,
    running,
    waiting,
)

JOB = pytorchjob()
UID = "uid-x-1-master-0"

POD = pod(JOB)
CASES = {
    "nothing but a name": (
        pod(JOB, node=None),
        Pod("x-1-master-0", "Pending", None, CREATED, uid=UID),
    ),
    "a container that is not ours says nothing": (
        pod(
            JOB,
            containerStatuses=[
                {"name": "istio-proxy", "state": running()},
                {"name": TRAINING_CONTAINER, "state": waiting("ErrImagePull")},
                {"name": "vault-agent", "state": ended(1)},
            ],
        ),
        Pod(
            "x-1-master-0",
            "Pending",
            "gpu-1",
            CREATED,
            container=Container("waiting", "ErrImagePull", name="pytorch"),
            beside=(
                Container(
                    "running",
                    started=datetime(2026, 3, 1, 11, 30, tzinfo=UTC),
                    name="istio-proxy",
                ),
                Container(
                    "terminated",
                    "Error",
                    exit_code=1,
                    started=datetime(2026, 3, 1, 11, 30, tzinfo=UTC),
                    finished=datetime(2026, 3, 1, 11, 59, tzinfo=UTC),
                    name="vault-agent",
                ),
            ),
            uid=UID,
        ),
    ),
    "what stands before our container": (
        pod(
            JOB,
            waiting("PodInitializing"),
            at_time(condition("PodScheduled"), 10),
            spec={
                "initContainers": [{"name": "proxy", "restartPolicy": "Always"}, {"name": "init"}],
                "containers": [{"resources": {"limits": {"nvidia.com/gpu": "8"}}}, {}],
            },
            startTime="2026-03-01T11:51:00Z",
            initContainerStatuses=[
                {"name": "ready", "state": ended()},
                {
                    "name": "proxy",
                    "state": waiting("CrashLoopBackOff"),
                    "lastState": ended(2),
                    "restartCount": 3,
                    "started": False,
                },
                {"name": "init", "state": waiting("PodInitializing")},
            ],
        ),
        Pod(
            "x-1-master-0",
            "Pending",
            "gpu-1",
            CREATED,
            init=(
                InitContainer(
                    "proxy",
                    True,
                    Container("waiting", "CrashLoopBackOff", name="proxy"),
                    Container(
                        "terminated",
                        "Error",
                        exit_code=2,
                        started=datetime(2026, 3, 1, 11, 30, tzinfo=UTC),
                        finished=datetime(2026, 3, 1, 11, 59, tzinfo=UTC),
                        name="proxy",
                    ),
                    3,
                ),
                InitContainer("init", False, Container("waiting", "PodInitializing", name="init")),
            ),
            container=Container("waiting", "PodInitializing", name="pytorch"),
            uid=UID,
            scheduled=datetime(2026, 3, 1, 11, 50, tzinfo=UTC),
            accepted=datetime(2026, 3, 1, 11, 51, tzinfo=UTC),
            gpus=8,
        ),
    ),
    "a pod that is gated and being deleted": (
        deleting(
            pod(
                JOB,
                None,
                condition("PodScheduled", "SchedulingGated", "gates", status="False"),
                node=None,
                spec={"schedulingGates": [{"name": "example.com/a"}]},
            ),
            1,
            30,
        ),
        Pod(
            "x-1-master-0",
            "Pending",
            None,
            CREATED,
            gates=("example.com/a",),
            uid=UID,
            deleted=datetime(2026, 3, 1, 11, 59, tzinfo=UTC),
            gone_by=datetime(2026, 3, 1, 11, 59, 30, tzinfo=UTC),
        ),
    ),
    "everything that a pod can say": (
        pod(
            JOB,
            ended(137, "OOMKilled", "out"),
            condition("PodScheduled", "Unschedulable", "0/1 nodes", status="False"),
            condition("DisruptionTarget", "PreemptionByScheduler"),
            condition("PodReadyToStartContainers"),
            phase="Failed",
            reason="Evicted",
            message="low on disk",
        ),
        Pod(
            "x-1-master-0",
            "Failed",
            "gpu-1",
            CREATED,
            reason="Evicted",
            message="low on disk",
            unschedulable="0/1 nodes",
            disruption="PreemptionByScheduler",
            has_sandbox=True,
            container=Container(
                "terminated",
                "OOMKilled",
                "out",
                137,
                started=datetime(2026, 3, 1, 11, 30, tzinfo=UTC),
                finished=datetime(2026, 3, 1, 11, 59, tzinfo=UTC),
                name="pytorch",
            ),
            uid=UID,
            ended=datetime(2026, 3, 1, 11, 59, tzinfo=UTC),
        ),
    ),
}


@pytest.mark.parametrize(("raw", "want"), CASES.values(), ids=CASES)
def test_what_a_pod_says(raw: Raw, want: Pod) -> None:
    assert read_pod(raw) == want


def test_the_newest_pod_is_the_workloads_own() -> None:
    older = pod(JOB, name="x-1-a", created="2026-03-01T11:04:00Z")
    newer = pod(JOB, name="x-1-b", created="2026-03-01T11:05:00Z")
    twin = pod(JOB, name="x-1-a", created="2026-03-01T11:05:00Z")
    others = pod(prep_job(), created="2026-03-01T11:59:00Z")
    assert newest_pod(JOB, [newer, older, twin, others]) == newer
    assert newest_pod(JOB, [others]) is None


@pytest.mark.parametrize("name", OWN_CONTAINERS)
def test_the_log_is_that_of_our_container(name: str) -> None:
    injected = POD | {"spec": {"containers": [{"name": "istio-proxy"}, {"name": name}]}}
    assert own_container(injected) == name
    assert own_container(POD | {"spec": {"containers": [{"name": "istio-proxy"}]}}) == ""
    assert own_container(POD | {"spec": None}) == ""


@pytest.mark.parametrize(
    ("raw", "over", "held_open"),
    [
        (pod(JOB, running()), False, False),
        (pod(JOB, ended()), True, False),
        (pod(JOB, ended(), phase="Succeeded"), True, False),
        (pod(JOB, None, phase="Failed"), True, False),
    ],
)
def test_whether_it_is_over(raw: Raw, over: bool, held_open: bool) -> None:
    read = read_pod(raw)
    assert (read.is_over, read.is_held_open) == (over, held_open)


def test_a_container_whose_image_is_not_there_holds_it_open() -> None:
    statuses = [
        {"name": TRAINING_CONTAINER, "state": ended()},
        {"name": "istio-proxy", "state": waiting("ImagePullBackOff")},
    ]
    assert read_pod(pod(JOB, containerStatuses=statuses)).is_held_open


def test_another_container_holds_it_open() -> None:
    statuses = [
        {"name": TRAINING_CONTAINER, "state": ended()},
        {"name": "istio-proxy", "state": running()},
    ]
    assert read_pod(pod(JOB, containerStatuses=statuses)).is_held_open
    assert not read_pod(pod(JOB, containerStatuses=statuses, phase="Succeeded")).is_held_open
