"""What a stolen token of the operator's account can write: nothing but children of runs.

Each attack is a child as the operator builds it with one thing changed, sent with that token to the
real API server. RBAC alone allows every one of them.
"""

from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest

from cluster.clients.stolen_token import NAMESPACE, child, create, policy_in_force, refused
from cluster.harness.api_request import APPLY, send_request
from cluster.harness.control_plane import ControlPlane
from cluster.harness.testcluster import TestCluster
from qinstruct_operator.cluster.url_paths import api_path
from qinstruct_operator.core.children import Manifest
from qinstruct_operator.core.children.scheduling import affinity
from qinstruct_operator.kinds import Kind
from support.operator_documents import UID, document, plan

pytestmark = pytest.mark.cluster

Change = Callable[[Manifest], object]


def template(manifest: Manifest) -> Any:
    """The pod template of a workload."""
    spec = manifest["spec"]
    replicas = spec.get("pytorchReplicaSpecs", {"Master": spec})
    return replicas["Master"]["template"]


def pod(**fields: Any) -> Change:
    return lambda manifest: template(manifest)["spec"].update(fields)


def container(**fields: Any) -> Change:
    return lambda manifest: template(manifest)["spec"]["containers"][0].update(fields)


def pod_security(**fields: Any) -> Change:
    return lambda manifest: template(manifest)["spec"]["securityContext"].update(fields)


def container_security(**fields: Any) -> Change:
    return lambda manifest: template(manifest)["spec"]["containers"][0]["securityContext"].update(
        fields
    )


def volume(**source: Any) -> Change:
    return lambda manifest: template(manifest)["spec"]["volumes"].append({"name": "more", **source})


def named(part: str, **added: str) -> Change:
    """Labels or annotations of the pods."""
    return lambda manifest: template(manifest)["metadata"][part].update(
        {key.replace("__", "/").replace("_", "."): value for key, value in added.items()}
    )


def metadata(**fields: Any) -> Change:
    return lambda manifest: manifest["metadata"].update(fields)


def spec(**fields: Any) -> Change:
    return lambda manifest: manifest["spec"].update(fields)


SECRET: Final = {"secretKeyRef": {"name": "database", "key": "password"}}
TOKEN: Final = {"secretKeyRef": {"name": "qinstruct-hub", "key": "token"}}
FOREIGN_OWNER: Final = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "name": "x",
    "uid": UID,
    "controller": True,
}
OWNER: Final = {
    "apiVersion": "qinstruct.dev/v1alpha1",
    "kind": "QInstructTraining",
    "name": "x",
    "uid": UID,
}
SECOND_OWNER: Final = FOREIGN_OWNER | {"controller": False}
PODS: Final[dict[str, Change]] = {
    "another service account": pod(serviceAccountName="admin"),
    "another service account by its old name": pod(serviceAccount="admin"),
    "a token": pod(automountServiceAccountToken=True),
    "a token by default": lambda one: template(one)["spec"].pop("automountServiceAccountToken"),
    "the host's network": pod(hostNetwork=True),
    "the host's processes": pod(hostPID=True),
    "the host's memory": pod(hostIPC=True),
    "a node without the scheduler": pod(nodeName="control-plane"),
    "an init container": pod(initContainers=[{"name": "i", "image": "busybox"}]),
    "shared processes": pod(shareProcessNamespace=True),
    "a priority of the system": pod(priorityClassName="system-node-critical"),
    "root": pod_security(runAsUser=0, runAsNonRoot=False),
    "another group for volumes": pod_security(fsGroup=0),
    "more groups": pod_security(supplementalGroups=[0]),
    "a kernel setting": pod_security(sysctls=[{"name": "kernel.msgmax", "value": "1"}]),
    "no seccomp": pod_security(seccompProfile={"type": "Unconfined"}),
    "no security at all": lambda one: template(one)["spec"].pop("securityContext"),
    "privileges": container_security(privileged=True, allowPrivilegeEscalation=True),
    "root in one container": container_security(runAsUser=0, runAsNonRoot=False),
    "a capability": container_security(capabilities={"drop": ["ALL"], "add": ["SYS_ADMIN"]}),
    "a writable root": container_security(readOnlyRootFilesystem=False),
    "a second container": lambda one: template(one)["spec"]["containers"].append(
        {"name": "second", "image": "busybox"}
    ),
    "a secret as a variable": container(env=[{"name": "P", "valueFrom": SECRET}]),
    "another field of the pod": container(
        env=[{"name": "P", "valueFrom": {"fieldRef": {"fieldPath": "status.hostIP"}}}]
    ),
    "a secret by a name that contains ours": container(
        env=[{"name": "P", "valueFrom": {"secretKeyRef": {"name": "my-qinstruct-x", "key": "k"}}}]
    ),
    "all of a secret of runs": container(envFrom=[{"secretRef": {"name": "qinstruct-hub"}}]),
    "a mounted secret of runs": volume(secret={"secretName": "qinstruct-hub"}),
    "all of a secret": container(envFrom=[{"secretRef": {"name": "database"}}]),
    "a port of the host": container(ports=[{"containerPort": 80, "hostPort": 80}]),
    "a hook": container(lifecycle={"preStop": {"exec": {"command": ["sh"]}}}),
    "a block device": container(
        volumeDevices=[{"name": "cache", "devicePath": "/dev/x"}], volumeMounts=[]
    ),
    "a folder of the host": volume(hostPath={"path": "/"}),
    "a mounted secret": volume(secret={"secretName": "database"}),
    "a projected token": volume(
        projected={"sources": [{"serviceAccountToken": {"path": "token"}}]}
    ),
    "a network share": volume(nfs={"server": "10.0.0.1", "path": "/"}),
    "a driver's volume": volume(csi={"driver": "secrets-store.csi.k8s.io"}),
    "a claim of its own": volume(
        ephemeral={
            "volumeClaimTemplate": {
                "spec": {
                    "accessModes": ["ReadWriteOnce"],
                    "resources": {"requests": {"storage": "1Gi"}},
                }
            }
        }
    ),
    "a foreign ConfigMap": volume(configMap={"name": "coredns"}),
    "a label that a Service selects by": named("labels", app="database"),
    "no name of ours": named("labels", app_kubernetes_io__name="database"),
    "the label of another run": named("labels", qinstruct_dev__run="victim"),
    "no labels": lambda one: template(one)["metadata"].pop("labels"),
    "another network": named("annotations", k8s_v1_cni_cncf_io__networks="storage"),
    "a role of the cloud": named("annotations", iam_amazonaws_com__role="admin"),
    "an injector of secrets": named("annotations", vault_hashicorp_com__agent="true"),
    "another value": named("annotations", sidecar_istio_io__inject="custom"),
    "every taint": pod(tolerations=[{"operator": "Exists"}]),
    "every taint by another spelling": pod(tolerations=[{"operator": "Exists", "key": ""}]),
    "every taint that ends pods": pod(
        tolerations=[{"key": "sku"}, {"operator": "Exists", "effect": "NoExecute"}]
    ),
    "a number as a priority": pod(priority=2_000_000_000),
    "another runtime": pod(runtimeClassName="privileged"),
    "users of the host": pod(hostUsers=True),
    "names of hosts": pod(hostAliases=[{"ip": "10.0.0.1", "hostnames": ["mirror.example"]}]),
    "another name service": pod(dnsConfig={"nameservers": ["10.0.0.1"]}),
    "a secret for images": pod(imagePullSecrets=[{"name": "registry"}]),
    "claims of devices": pod(resourceClaims=[{"name": "gpu", "resourceClaimName": "gpu"}]),
    "a name in the network": pod(hostname="database", subdomain="database"),
    "a gate that holds it": pod(schedulingGates=[{"name": "example.com/never"}]),
    "a SELinux label": pod_security(seLinuxOptions={"type": "spc_t"}),
    "an AppArmor profile": pod_security(appArmorProfile={"type": "Unconfined"}),
    "another user with the same group": pod_security(runAsUser=1001),
    "a change of every file's group": pod_security(fsGroupChangePolicy="Always"),
    "a profile of the node": container_security(
        seccompProfile={"type": "Localhost", "localhostProfile": "x.json"}
    ),
    "fewer dropped capabilities": container_security(capabilities={"drop": ["NET_RAW"]}),
    "a probe that the kubelet sends": container(
        livenessProbe={"httpGet": {"host": "169.254.169.254", "port": 80, "path": "/"}}
    ),
    "a probe that runs": container(startupProbe={"exec": {"command": ["sh"]}}),
    "a terminal": container(stdin=True, tty=True),
    "a ConfigMap as a variable": container(
        env=[{"name": "P", "valueFrom": {"configMapKeyRef": {"name": "x-config", "key": "a"}}}]
    ),
    "a limit as a variable": container(
        env=[{"name": "P", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}}]
    ),
    "the service account as a variable": container(
        env=[{"name": "P", "valueFrom": {"fieldRef": {"fieldPath": "spec.serviceAccountName"}}}]
    ),
    "a pod's fields as files": volume(
        downwardAPI={"items": [{"path": "a", "fieldRef": {"fieldPath": "metadata.uid"}}]}
    ),
    "an image as a volume": volume(image={"reference": "busybox"}),
    "a share with a login": volume(
        iscsi={"targetPortal": "10.0.0.1", "iqn": "iqn.2001-04.com.example:x", "lun": 0}
    ),
    "a repository": volume(gitRepo={"repository": "https://example.com/x"}),
    "a finalizer on the pods": lambda one: template(one)["metadata"].update(
        finalizers=["example.com/never"]
    ),
    "a name for the pods": lambda one: template(one)["metadata"].update(name="database"),
}
ANY: Final[dict[str, Change]] = {
    "no label of ours": metadata(labels={"team": "vision"}),  # none at all: the server adds some
    "another manager": metadata(labels={"app.kubernetes.io/managed-by": "Helm"}),
    "another name": metadata(name="coredns"),
    "another owner": metadata(ownerReferences=[FOREIGN_OWNER]),
    "a finalizer": metadata(finalizers=["example.com/never"]),
    "two owners": lambda one: one["metadata"].update(
        ownerReferences=[*one["metadata"].get("ownerReferences", [OWNER]), SECOND_OWNER]
    ),
    "an owner of a like group": lambda one: one["metadata"].update(
        ownerReferences=[OWNER | {"apiVersion": "qinstruct.dev.example/v1"}]
    ),
    "an owner of no group": lambda one: one["metadata"].update(
        ownerReferences=[OWNER | {"apiVersion": "v1"}]
    ),
    "an owner of another kind": lambda one: one["metadata"].update(
        ownerReferences=[OWNER | {"kind": "QInstructTrainings"}]
    ),
    "a run that owns another's": lambda one: one["metadata"].update(
        ownerReferences=[OWNER | {"name": "victim"}]
    ),
    "a manager spelled otherwise": metadata(
        labels={"app.kubernetes.io/managed-by": "qinstruct-operator-2"}
    ),
}
JOBS: Final[dict[str, Change]] = {
    "others' pods": spec(
        manualSelector=True, selector={"matchLabels": {"app.kubernetes.io/name": "qinstruct"}}
    ),
    "many pods": spec(parallelism=100_000),
    "none": spec(parallelism=0),
    "many times": spec(completions=100_000),
    "another controller": spec(managedBy="example.com/thief"),
    # Of a PyTorchJob's pods the server drops this one, and its own name may end in anything.
    "an owner of the pods": lambda one: template(one)["metadata"].update(
        ownerReferences=[FOREIGN_OWNER]
    ),
    "a name that the server makes": lambda one: one["metadata"].update(
        generateName=one["metadata"].pop("name") + "-"
    ),
    "a rule for its success": spec(
        completionMode="Indexed", successPolicy={"rules": [{"succeededCount": 1}]}
    ),
    "a limit for each index": spec(completionMode="Indexed", backoffLimitPerIndex=9),
    "a time after which it is deleted": spec(ttlSecondsAfterFinished=0),
}
OWNED: Final[dict[str, Change]] = {
    "no owner": lambda one: one["metadata"].pop("ownerReferences"),
}
CLAIMS: Final[dict[str, Change]] = {
    "a copy of another claim": spec(
        dataSource={"kind": "PersistentVolumeClaim", "name": "database"}
    ),
    "a snapshot's copy": spec(
        dataSourceRef={
            "apiGroup": "snapshot.storage.k8s.io",
            "kind": "VolumeSnapshot",
            "name": "database",
        }
    ),
    "another's volume": spec(volumeName="database"),
    "any volume with a label": spec(selector={"matchLabels": {"app": "database"}}),
    "a class of attributes": spec(volumeAttributesClassName="gold"),
}
MORE_PODS: Final[dict[str, Change]] = {
    "a secret of runs in training": container(env=[{"name": "HF_TOKEN", "valueFrom": TOKEN}]),
    "a worker beside the master": lambda one: one["spec"]["pytorchReplicaSpecs"].update(
        Worker={"replicas": 1, "template": {"spec": {"hostNetwork": True, "containers": []}}}
    ),
    "many masters": lambda one: one["spec"]["pytorchReplicaSpecs"]["Master"].update(replicas=99),
    "elastic": spec(elasticPolicy={"minReplicas": 1, "maxReplicas": 99}),
    "a priority of the system for its group": lambda one: one["spec"]["runPolicy"].update(
        schedulingPolicy={"priorityClass": "system-node-critical"}
    ),
    "another controller": lambda one: one["spec"]["runPolicy"].update(managedBy="example.com/x"),
    "a master spelled otherwise": lambda one: one["spec"]["pytorchReplicaSpecs"].update(
        master=one["spec"]["pytorchReplicaSpecs"].pop("Master")
    ),
    "a time after which it is deleted": lambda one: one["spec"]["runPolicy"].update(
        ttlSecondsAfterFinished=0
    ),
}
ATTACKS: Final = [
    *(("Job", what, JOBS[what]) for what in JOBS),
    *((kind, what, PODS[what]) for kind in ("Job", "PyTorchJob") for what in PODS),
    *(("PyTorchJob", what, MORE_PODS[what]) for what in MORE_PODS),
    *((kind, what, OWNED[what]) for kind in ("Job", "PyTorchJob", "ConfigMap") for what in OWNED),
    *(
        (kind, what, ANY[what])
        for kind in ("Job", "PyTorchJob", "ConfigMap", "PersistentVolumeClaim")
        for what in ANY
    ),
    *(("PersistentVolumeClaim", what, CLAIMS[what]) for what in CLAIMS),
]


@pytest.fixture(scope="module")
def api(test_cluster: TestCluster, operator_token: str) -> Iterator[ControlPlane]:
    with policy_in_force(test_cluster, operator_token) as api:
        yield api


@pytest.mark.parametrize(
    ("kind", "change"),
    [pytest.param(kind, change, id=f"{kind}: {what}") for kind, what, change in ATTACKS],
)
def test_the_account_writes_nothing_else(
    api: ControlPlane, operator_token: str, kind: str, change: Change
) -> None:
    manifest = child(kind)
    assert create(api, manifest, operator_token).ok
    change(manifest)
    answer = create(api, manifest, operator_token)
    assert refused(answer), answer.content


@pytest.mark.parametrize("namespace", ["kube-system", "kube-public", "kube-node-lease"])
@pytest.mark.parametrize("kind", ["Job", "PyTorchJob", "ConfigMap", "PersistentVolumeClaim"])
def test_nothing_goes_into_the_clusters_own_namespaces(
    api: ControlPlane, operator_token: str, kind: str, namespace: str
) -> None:
    answer = create(api, child(kind), operator_token, namespace)
    assert refused(answer), answer.content


def test_a_foreign_config_map_cannot_be_changed(
    api: ControlPlane, operator_token: str, test_cluster: TestCluster
) -> None:
    """Neither as it is nor with our label written into it by the same request."""
    foreign = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x-config"}}
    test_cluster.kubectl("create", "configmap", "x-config", f"--namespace={NAMESPACE}")
    path = f"{api_path(Kind('v1', 'ConfigMap'), NAMESPACE, 'x-config')}?fieldManager=thief&force=1"
    for body in (foreign | {"data": {"Corefile": "."}}, child("ConfigMap")):
        answer = send_request(api, "PATCH", path, body, content_type=APPLY, token=operator_token)
        assert refused(answer), answer.content


def test_prep_may_have_a_token(api: ControlPlane, operator_token: str) -> None:
    manifest = child("Job", data={"tokenSecretRef": {"name": "qinstruct-hub"}})
    names = [one["name"] for one in template(manifest)["spec"]["containers"][0]["env"]]
    assert "HF_TOKEN" in names
    answer = create(api, manifest, operator_token)
    assert answer.ok, answer.content


def test_training_may_be_kept_from_nodes_and_cleaned_up(
    api: ControlPlane, operator_token: str
) -> None:
    manifest = child("PyTorchJob", scheduling={"ttlSecondsAfterFinished": 660})
    template(manifest)["spec"]["affinity"] = affinity(plan(document()), ["gpu-1", "gpu-2"])
    answer = create(api, manifest, operator_token)
    assert answer.ok, answer.content


def test_others_are_not_bound(api: ControlPlane) -> None:
    """An administrator, Kueue or the training-operator changes what it likes."""
    manifest = child("Job")
    PODS["an init container"](manifest)
    manifest["metadata"].pop("ownerReferences")
    assert create(api, manifest, api.tokens["admin"]).ok
