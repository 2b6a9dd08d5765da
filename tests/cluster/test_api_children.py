"""The server takes the children of every run that the API accepts, from the operator's account.

Nothing is too long, and the admission policy that binds the account lets each of them pass.

A PyTorchJob with an impossible pod template is stored, and only its pod is refused; a PodTemplate
of the same content is validated as a pod is.
"""

from collections.abc import Iterator
from typing import Any, Final

import pytest

from cluster.harness.api_request import APPLY, DRY_RUN, STRICT, runs_path, send_request
from cluster.harness.control_plane import ControlPlane
from cluster.harness.testcluster import TestCluster
from qinstruct_operator.cluster.url_paths import api_path
from qinstruct_operator.core.children import Manifest
from qinstruct_operator.kinds import Kind
from support.operator_documents import RUNS, UID, document, manifests, plan, sample

pytestmark = pytest.mark.cluster

NAMESPACE: Final = "children"
LONGEST_LABEL: Final = "x" * 63
LONGEST_KEY: Final = f"{'d' * 253}/{LONGEST_LABEL}"
LONGEST_NAME: Final = "n" * 253
EDGES: Final[dict[str, dict[str, Any]]] = {
    "longest name of a run": document("r" * 48),
    "shortest name of a run": document("r"),
    "longest names of others": document(
        data={"claimName": LONGEST_NAME},
        output={"storageClassName": LONGEST_NAME},
        scheduling={"priorityClassName": LONGEST_NAME, "queueName": LONGEST_LABEL},
    ),
    "longest name of a claim": document(output={"claimName": LONGEST_NAME}),
    "longest labels": document(
        scheduling={
            "nodeSelector": {LONGEST_KEY: LONGEST_LABEL, "empty": ""},
            "tolerations": [
                {"key": LONGEST_KEY, "operator": "Equal", "value": LONGEST_LABEL},
                {"key": "k", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 0},
            ],
        }
    ),
    "longest time": document(scheduling={"activeDeadlineSeconds": 31_536_000}),
    "largest claim": document(output={"size": "9" * 30 + "Ti"}),
    "every source": document(
        strategy="mix",
        data={
            "sources": {
                name: {"url": f"https://example.org/{'u' * 2000}"}
                for name in ("q-instruct-labels", "q-instruct-images", "coco", "gqa", "vg-1")
            }
        },
    ),
} | {name: sample(name) for name in RUNS}


@pytest.fixture(scope="module")
def api(test_cluster: TestCluster) -> Iterator[ControlPlane]:
    test_cluster.create_namespace(NAMESPACE)
    yield test_cluster.api
    test_cluster.kubectl("delete", "namespace", NAMESPACE, "--wait=false")


@pytest.mark.parametrize("case", EDGES)
def test_the_server_takes_every_child(api: ControlPlane, operator_token: str, case: str) -> None:
    raw = EDGES[case]
    assert send_request(api, "POST", f"{runs_path(NAMESPACE)}?{DRY_RUN}&{STRICT}", raw).ok
    metadata = raw["metadata"] | {"namespace": NAMESPACE, "uid": UID}
    children = manifests(plan(raw | {"metadata": metadata}))
    kinds = {child["kind"] for child in children}
    assert {"PersistentVolumeClaim", "ConfigMap", "Job", "PyTorchJob"} == kinds
    for child in children:
        written(api, child, operator_token)
        if child["kind"] == "PyTorchJob":
            written(api, pod_template(child), None)


def pod_template(job: Manifest) -> Manifest:
    template = job["spec"]["pytorchReplicaSpecs"]["Master"]["template"]
    return {
        "apiVersion": "v1",
        "kind": "PodTemplate",
        "metadata": job["metadata"],
        "template": template,
    }


def written(api: ControlPlane, child: Manifest, token: str | None) -> None:
    """As the operator writes it: the ConfigMap is applied, the others are created."""
    path = api_path(Kind.of(child), NAMESPACE)
    query = f"{DRY_RUN}&fieldManager=test&{STRICT}"
    if child["kind"] == "ConfigMap":
        path = api_path(Kind.of(child), NAMESPACE, child["metadata"]["name"])
        answer = send_request(
            api, "PATCH", f"{path}?{query}", child, content_type=APPLY, token=token
        )
    else:
        answer = send_request(api, "POST", f"{path}?{query}", child, token=token)
    assert answer.ok, answer.content["message"]
