"""The API server takes every object of the chart, for a matrix of its values."""

import json
from collections.abc import Iterator
from typing import Any, Final

import pytest

from cluster.clients.operator_process import install
from cluster.harness.control_plane import KubectlError
from cluster.harness.testcluster import TestCluster
from support.helm_chart import Manifest, of_kind, operator_container, render
from support.readme import ROOT

pytestmark = pytest.mark.cluster

DIGEST: Final = "sha256:" + "ab" * 32
HERE: Final = "HERE"  # the test's namespace

MATRIX: Final[dict[str, dict[str, Any]]] = {
    "defaults": {},
    "some namespaces": {"watchNamespaces": [HERE]},
    "without rights in the cluster": {
        "watchNamespaces": [HERE],
        "crds": {"install": False},
        "admissionPolicy": {"enabled": False},
    },
    "the CRD is not kept": {"crds": {"keep": False}},
    "other names": {"fullnameOverride": "tuner", "serviceAccount": {"name": "tuner.x"}},
    "an account of somebody else": {
        "serviceAccount": {"create": False, "name": "default"},
        "rbac": {"create": False},
    },
    "digests and pull secrets": {
        "images": {
            "registry": "localhost:5000/x",
            "tag": "9",
            "pullPolicy": "Always",
            "pullSecrets": [{"name": "registry"}],
            "operator": {"digest": DIGEST},
            "prep": {"registry": "ghcr.io/y", "digest": DIGEST},
            "trainer": {"repository": "cuda/train", "tag": "cu13"},
        }
    },
    "every setting": {
        "settings": {
            "trainerAttention": ["sdpa", "eager"],
            "priorityClasses": [],
            "toleratedTaints": ["sku"],
            "defaultQueue": "gpus",
            "cachePath": "/c",
            "outputPath": "/o",
            "configPath": "/e",
            "cacheSize": "1Ti",
            "cacheStorageClass": "shared",
            "privateNetworks": ["10.1.0.0/16", "fd00::/8"],
            "prepProxy": "http://proxy.example:3128",
            "prepNoProxy": ".example,10.0.0.0/8",
            "prepMaxBandwidth": "50M",
            "hubEndpoint": "https://hub.example",
            "prepHours": 0.5,
            "progressSeconds": 1,
            "waitingSeconds": 2.5,
            "listSeconds": 30,
            "workers": 64,
        },
        "networkPolicy": {"runNamespaces": [HERE]},
    },
    "the API server is known": {
        "networkPolicy": {
            "runNamespaces": [HERE],
            "wholeNamespace": False,
            "apiServer": {"ports": [6443], "cidrs": ["52.1.2.3/32", "2600:1f00::/40"]},
            "dns": {"ports": [53, 5353], "peers": [{"ipBlock": {"cidr": "10.0.0.10/32"}}]},
        }
    },
    "no network policies": {"networkPolicy": {"enabled": False}},
    "a cap on GPUs": {"gpuCap": {"enabled": True, "gpus": 4}},
    "a place to run": {
        "nodeSelector": {"disk": "ssd"},
        "tolerations": [{"key": "x", "operator": "Equal", "value": "y", "effect": "NoExecute"}],
        "affinity": {
            "nodeAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": {
                    "nodeSelectorTerms": [
                        {"matchExpressions": [{"key": "gpu", "operator": "DoesNotExist"}]}
                    ]
                }
            }
        },
        "topologySpreadConstraints": [
            {
                "maxSkew": 1,
                "topologyKey": "topology.kubernetes.io/zone",
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": {"app.kubernetes.io/name": "qinstruct"}},
            }
        ],
        "priorityClassName": "system-cluster-critical",
        "resources": {"requests": {"cpu": "1"}, "limits": {"cpu": "2", "memory": "1Gi"}},
    },
    "another user, labels and variables": {
        "runAsUser": None,
        "podLabels": {"team": "x"},
        "podAnnotations": {"note": "y"},
        "serviceAccount": {"annotations": {"note": "z"}},
        "extraEnv": [
            {"name": "HTTPS_PROXY", "value": "http://proxy:3128"},
            {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
        ],
    },
}


@pytest.fixture(scope="module")
def home(test_cluster: TestCluster) -> Iterator[str]:
    """A namespace under Pod Security "restricted" for whatever is not of the cluster.

    With the accounts, because the server looks a pod's up, and a dry run makes none.
    """
    name = "chart-objects"
    test_cluster.create_namespace(name)
    for account in ("qinstruct-operator", "tuner.x"):
        test_cluster.kubectl("create", "serviceaccount", account, f"--namespace={name}")
    yield name
    test_cluster.kubectl("delete", "namespace", name, "--wait=false")


@pytest.mark.parametrize("case", MATRIX)
def test_every_object_is_taken(test_cluster: TestCluster, home: str, case: str) -> None:
    values = json.loads(json.dumps(MATRIX[case]).replace(HERE, home))
    made = render(f"--namespace={home}", values=values)
    dry_run(test_cluster, *made, pod_of_the_deployment(made, home))


@pytest.mark.parametrize("folder", ["base", "namespaced", "dev", "run-namespace"])
def test_every_object_of_the_folders_for_kustomize_is_taken(
    test_cluster: TestCluster, home: str, folder: str
) -> None:
    install(test_cluster.api)  # the namespace, which a dry run would not make
    where = ("--namespace", home) if folder == "run-namespace" else ()
    said = test_cluster.kubectl(
        *("apply", "--server-side", "--force-conflicts", "--dry-run=server", "--validate=strict"),
        *("-k", ROOT / "manifests" / folder, *where),
    )
    assert "serverside-applied (server dry run)" in said


def test_a_wrong_field_would_be_seen(test_cluster: TestCluster, home: str) -> None:
    made = render(f"--namespace={home}")
    operator_container(made)["imagePullPolicies"] = "Always"
    with pytest.raises(KubectlError, match="imagePullPolicies"):
        dry_run(test_cluster, *made)
    pod = pod_of_the_deployment(render(f"--namespace={home}"), home)
    pod["spec"]["hostNetwork"] = True
    with pytest.raises(KubectlError, match="violates PodSecurity"):
        dry_run(test_cluster, pod)


def dry_run(cluster: TestCluster, *manifests: Manifest) -> None:
    """Let the server look at them as if they were applied."""
    listed = {"apiVersion": "v1", "kind": "List", "items": list(manifests)}
    cluster.kubectl(
        *("apply", "--server-side", "--force-conflicts", "--field-manager=dry-run"),
        *("--dry-run=server", "--validate=strict", "--filename=-"),
        stdin=json.dumps(listed),
    )


def pod_of_the_deployment(manifests: list[Manifest], namespace: str) -> Manifest:
    """What the Deployment's controller would make; Pod Security only warns of a Deployment."""
    (deployment,) = of_kind(manifests, "Deployment")
    template = deployment["spec"]["template"]
    metadata = template["metadata"] | {"name": "operator-pod", "namespace": namespace}
    return {"apiVersion": "v1", "kind": "Pod", **template, "metadata": metadata}
