"""What a stolen token of the operator's account can change of a workload: whether it is suspended.

Each change is sent with that token to the real API server. RBAC alone allows every one of them.
"""

from collections.abc import Iterator
from typing import Any, Final

import pytest

from cluster.clients.stolen_token import child, policy_in_force, refused
from cluster.harness.api_request import DRY_RUN, MERGE, runs_path, send_request
from cluster.harness.control_plane import ControlPlane
from cluster.harness.testcluster import TestCluster
from qinstruct_operator.cluster.url_paths import api_path
from qinstruct_operator.core.children import Manifest
from qinstruct_operator.kinds import Kind
from support.operator_documents import document

pytestmark = pytest.mark.cluster

NAMESPACE: Final = "stolen-updates"
METADATA: Final[dict[str, Manifest]] = {
    "another label": {"labels": {"team": "vision"}},
    "a queue": {"labels": {"kueue.x-k8s.io/queue-name": "gpus"}},
    "no run": {"labels": {"qinstruct.dev/run": None}},
    "another annotation": {"annotations": {"qinstruct.dev/retries": "9"}},
    "no owner": {"ownerReferences": None},
    "a finalizer": {"finalizers": ["example.com/never"]},
}
UPDATES: Final = [
    *(
        (kind, what, {"metadata": METADATA[what]})
        for kind in ("Job", "PyTorchJob")
        for what in METADATA
    ),
    (
        "Job",
        "an annotation less",
        {"metadata": {"annotations": {"qinstruct.dev/trainer-image": None}}},
    ),
    ("Job", "more retries", {"spec": {"backoffLimit": 9}}),
    ("Job", "more time", {"spec": {"activeDeadlineSeconds": None}}),
    ("Job", "no pod", {"spec": {"parallelism": 0}}),
    ("PyTorchJob", "more retries", {"spec": {"runPolicy": {"backoffLimit": 9}}}),
    ("PyTorchJob", "no policy", {"spec": {"runPolicy": {"cleanPodPolicy": None}}}),
    ("PyTorchJob", "other processes", {"spec": {"nprocPerNode": "1"}}),
    (
        "PyTorchJob",
        "another restart policy",
        {"spec": {"pytorchReplicaSpecs": {"Master": {"restartPolicy": "Always"}}}},
    ),
]
SUSPENDED: Final[dict[str, Manifest]] = {
    "Job": {"spec": {"suspend": True}},
    "PyTorchJob": {"spec": {"runPolicy": {"suspend": True}}},
}
MARK: Final = {"metadata": {"annotations": {"qinstruct.dev/suspended": "true"}}}


@pytest.fixture(scope="module")
def api(test_cluster: TestCluster, operator_token: str) -> Iterator[ControlPlane]:
    with policy_in_force(test_cluster, operator_token, NAMESPACE) as api:
        yield api


@pytest.fixture(scope="module")
def owner(api: ControlPlane) -> str:
    """The uid of the run: without it the garbage collector takes what it owns."""
    run = document("x") | {"metadata": {"name": "x", "namespace": NAMESPACE}}
    made = send_request(api, "POST", runs_path(NAMESPACE), run)
    assert made.ok, made.content
    return str(made.content["metadata"]["uid"])


def make(api: ControlPlane, manifest: Manifest, owner: str) -> str:
    """Create a workload of the run; its path, by which it is updated in dry runs."""
    manifest["metadata"]["namespace"] = NAMESPACE
    manifest["metadata"]["ownerReferences"][0]["uid"] = owner
    path = api_path(Kind.of(manifest), NAMESPACE)
    made = send_request(api, "POST", path, manifest, token=api.tokens["admin"])
    assert made.ok, made.content
    return f"{path}/{manifest['metadata']['name']}?{DRY_RUN}"


@pytest.fixture(scope="module")
def workloads(api: ControlPlane, owner: str) -> dict[str, str]:
    """Paths of workloads that nobody has suspended."""
    return {kind: make(api, child(kind), owner) for kind in SUSPENDED}


@pytest.mark.parametrize("kind", SUSPENDED)
def test_a_workload_may_be_suspended_and_let_go_on(
    api: ControlPlane, operator_token: str, workloads: dict[str, str], kind: str
) -> None:
    for change in (SUSPENDED[kind], SUSPENDED[kind] | MARK, MARK):
        answer = send_request(
            api, "PATCH", workloads[kind], change, content_type=MERGE, token=operator_token
        )
        assert answer.ok, answer.content


@pytest.mark.parametrize("kind", SUSPENDED)
def test_what_others_have_put_on_it_is_no_hindrance(
    api: ControlPlane, operator_token: str, workloads: dict[str, str], kind: str
) -> None:
    """An administrator's finalizer and time to live, and a template that no operator writes."""
    path, admin = workloads[kind].partition("?")[0], api.tokens["admin"]

    def put(finalizers: list[str], seconds: int | None, team: str | None) -> None:
        keeps = {"ttlSecondsAfterFinished": seconds}
        template = {"metadata": {"labels": {"team": team}}}
        train = {"runPolicy": keeps, "pytorchReplicaSpecs": {"Master": {"template": template}}}
        body = {
            "metadata": {"finalizers": finalizers},
            "spec": keeps if kind == "Job" else train,
        }
        answer = send_request(api, "PATCH", path, body, content_type=MERGE, token=admin)
        assert answer.ok, answer.content

    put(["example.com/archive"], 9, "vision")
    worse = {"metadata": {"finalizers": ["example.com/archive", "example.com/never"]}}
    allowed, denied = (
        send_request(api, "PATCH", workloads[kind], body, content_type=MERGE, token=operator_token)
        for body in (SUSPENDED[kind] | MARK, worse)
    )
    put([], None, None)
    assert allowed.ok, allowed.content
    assert refused(denied), denied.content


@pytest.mark.parametrize(
    ("kind", "change"),
    [pytest.param(kind, change, id=f"{kind}: {what}") for kind, what, change in UPDATES],
)
def test_nothing_else_of_a_workload_is_changed(
    api: ControlPlane,
    operator_token: str,
    workloads: dict[str, str],
    kind: str,
    change: dict[str, Any],
) -> None:
    """Neither alone nor beside the suspension."""
    spec = SUSPENDED[kind]["spec"] | change.get("spec", {})
    if "runPolicy" in change.get("spec", {}):
        spec = {"runPolicy": {"suspend": True} | change["spec"]["runPolicy"]}
    for body in (change, change | {"spec": spec}):
        answer = send_request(
            api, "PATCH", workloads[kind], body, content_type=MERGE, token=operator_token
        )
        assert refused(answer), answer.content


@pytest.mark.parametrize("kind", SUSPENDED)
def test_what_is_in_a_queue_is_kueues(
    api: ControlPlane, operator_token: str, owner: str, kind: str
) -> None:
    manifest = child(kind, scheduling={"queueName": "gpus"}, prep={"queueName": "cpus"})
    manifest["metadata"]["name"] += "-queued"
    path = make(api, manifest, owner)
    answer = send_request(
        api, "PATCH", path, SUSPENDED[kind], content_type=MERGE, token=operator_token
    )
    assert refused(answer), answer.content


@pytest.mark.parametrize("kind", SUSPENDED)
def test_a_foreign_workload_is_not_suspended(
    api: ControlPlane, operator_token: str, owner: str, kind: str
) -> None:
    manifest = child(kind)
    manifest["metadata"] |= {"name": "foreign", "labels": {"team": "vision"}}
    path = make(api, manifest, owner)
    ours = {"metadata": {"labels": {"app.kubernetes.io/managed-by": "qinstruct-operator"}}}
    for change in (SUSPENDED[kind], SUSPENDED[kind] | ours):
        answer = send_request(api, "PATCH", path, change, content_type=MERGE, token=operator_token)
        assert refused(answer), answer.content
