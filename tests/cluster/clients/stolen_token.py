"""A stolen token of the operator's account, and what it writes, in a namespace of its own."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from cluster.harness.api_request import DRY_RUN, Answer, send_request
from cluster.harness.control_plane import ControlPlane
from cluster.harness.processes import wait_until
from cluster.harness.testcluster import TestCluster
from qinstruct_operator.cluster.url_paths import api_path
from qinstruct_operator.core.children import Manifest
from qinstruct_operator.kinds import Kind
from support.operator_documents import UID, document, manifests, plan

NAMESPACE: Final = "stolen"
POLICY: Final = "ValidatingAdmissionPolicy 'qinstruct-operator'"


def child(kind: str, **spec: Any) -> Manifest:
    """As the operator writes it for the run `x`."""
    metadata = {"name": "x", "namespace": NAMESPACE, "uid": UID}
    (found,) = (
        one
        for one in manifests(plan(document(**spec) | {"metadata": metadata}))
        if one["kind"] == kind and one["metadata"]["name"] != "qinstruct-cache"
    )
    return copy.deepcopy(found)


@contextmanager
def policy_in_force(
    cluster: TestCluster, token: str, namespace: str = NAMESPACE
) -> Iterator[ControlPlane]:
    """The API server with the policy in force, which takes it a moment, and a namespace."""
    cluster.create_namespace(namespace)
    bad = child("Job")
    bad["metadata"]["labels"] = {"team": "vision"}
    wait_until(
        lambda: not create(cluster.api, bad, token, namespace).ok, "the policy is in force", 60
    )
    yield cluster.api
    cluster.kubectl("delete", "namespace", namespace, "--wait=false")


def create(api: ControlPlane, manifest: Manifest, token: str, namespace: str = NAMESPACE) -> Answer:
    path = f"{api_path(Kind.of(manifest), namespace)}?{DRY_RUN}"
    body = manifest | {"metadata": manifest["metadata"] | {"namespace": namespace}}
    return send_request(api, "POST", path, body, token=token)


def refused(answer: Answer) -> bool:
    return not answer.ok and POLICY in answer.content["message"]
