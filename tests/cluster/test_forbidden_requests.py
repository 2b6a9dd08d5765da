"""What a stolen token of the operator's account cannot even ask for: RBAC refuses it, no policy.

Each request has a right of its own, or would take a fence away.
"""

from typing import Final

import pytest

from cluster.harness.api_request import MERGE, send_request
from cluster.harness.testcluster import TestCluster

pytestmark = pytest.mark.cluster

NAMESPACE: Final = "default"
CORE: Final = f"/api/v1/namespaces/{NAMESPACE}"
RBAC: Final = "/apis/rbac.authorization.k8s.io/v1"
FORBIDDEN: Final = [
    *(("DELETE", f"{CORE}/{what}") for what in ("configmaps", "pods", "persistentvolumeclaims")),
    ("DELETE", f"{CORE}/persistentvolumeclaims/x-output"),
    ("DELETE", f"/apis/batch/v1/namespaces/{NAMESPACE}/jobs/x-prep"),
    ("DELETE", f"/apis/kubeflow.org/v1/namespaces/{NAMESPACE}/pytorchjobs/x-1"),
    ("DELETE", f"/apis/qinstruct.dev/v1alpha1/namespaces/{NAMESPACE}/qinstructtrainings/x"),
    *(("GET", f"{CORE}/{what}") for what in ("secrets", "serviceaccounts", "configmaps")),
    ("GET", "/api/v1/secrets"),
    ("GET", "/api/v1/configmaps"),
    ("GET", "/api/v1/nodes"),
    ("GET", "/api/v1/nodes/node-1/proxy/pods"),
    ("GET", f"{CORE}/pods/x/exec?command=sh"),
    ("POST", f"{CORE}/pods"),
    ("POST", f"{CORE}/pods/x/exec?command=sh"),
    ("POST", f"{CORE}/pods/x/attach"),
    ("POST", f"{CORE}/pods/x/portforward"),
    ("POST", f"{CORE}/pods/x/binding"),
    ("POST", f"{CORE}/pods/x/eviction"),
    ("PATCH", f"{CORE}/pods/x/ephemeralcontainers"),
    ("POST", f"{CORE}/serviceaccounts/default/token"),
    ("POST", f"{CORE}/services"),
    ("POST", "/api/v1/namespaces"),
    ("POST", "/api/v1/persistentvolumes"),
    ("PATCH", f"{CORE}/persistentvolumeclaims/x-output"),
    ("PUT", f"{CORE}/configmaps/x-config"),
    # It may patch them; what of them, the policy says (test_admission_updates.py).
    ("PUT", f"/apis/batch/v1/namespaces/{NAMESPACE}/jobs/x-prep"),
    ("PATCH", f"/apis/batch/v1/namespaces/{NAMESPACE}/jobs/x-prep/status"),
    ("PUT", f"/apis/kubeflow.org/v1/namespaces/{NAMESPACE}/pytorchjobs/x-1"),
    ("PATCH", f"/apis/kubeflow.org/v1/namespaces/{NAMESPACE}/pytorchjobs/x-1/status"),
    ("POST", f"/apis/batch/v1/namespaces/{NAMESPACE}/cronjobs"),
    ("POST", f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments"),
    ("POST", f"/apis/qinstruct.dev/v1alpha1/namespaces/{NAMESPACE}/qinstructtrainings"),
    ("PATCH", f"/apis/qinstruct.dev/v1alpha1/namespaces/{NAMESPACE}/qinstructtrainings/x"),
    ("POST", f"{RBAC}/clusterrolebindings"),
    ("POST", f"{RBAC}/namespaces/{NAMESPACE}/rolebindings"),
    ("PATCH", f"{RBAC}/clusterroles/qinstruct-operator"),
    ("PATCH", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/x"),
    ("POST", "/apis/certificates.k8s.io/v1/certificatesigningrequests"),
    ("POST", "/apis/scheduling.k8s.io/v1/priorityclasses"),
    ("PATCH", "/apis/node.k8s.io/v1/runtimeclasses/x"),
    *(
        (verb, f"/apis/admissionregistration.k8s.io/v1/{kind}/qinstruct-operator")
        for verb in ("PATCH", "DELETE")
        for kind in ("validatingadmissionpolicies", "validatingadmissionpolicybindings")
    ),
    ("POST", "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"),
]


@pytest.mark.parametrize(("verb", "path"), FORBIDDEN)
def test_the_account_may_not_ask_for_anything_else(
    test_cluster: TestCluster, operator_token: str, verb: str, path: str
) -> None:
    content_type = MERGE if verb == "PATCH" else "application/json"
    body: object = None if verb in ("GET", "DELETE") else {}
    answer = send_request(
        test_cluster.api, verb, path, body, content_type=content_type, token=operator_token
    )
    assert answer.code == 403, answer.content
    assert "is forbidden" in answer.content["message"]
