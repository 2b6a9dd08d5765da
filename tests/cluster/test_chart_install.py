"""The life of a release on a real API server: install, upgrade, uninstall, install again.

A cluster of its own, as nobody else has installed anything. The operator runs with the account, the
arguments and the variables of the chart's Deployment; kwok's nodes take its pod and run nothing.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from cluster.clients.installed_chart import InstalledChart, older_chart
from cluster.clients.rights import granted
from cluster.clients.runs import FOR_EVER, STEP, Runs, lines, runs_of
from cluster.harness.api_request import runs_path, send_request
from cluster.harness.kwok import Behaviour
from cluster.harness.processes import wait_until
from cluster.harness.testcluster import TestCluster
from qinstruct_operator.constants import GROUP, PLURAL
from support.helm_chart import CHART, HelmError, Values, helm
from support.operator_documents import RUNS as SAMPLE_NAMES
from support.operator_documents import SAMPLES
from support.readme import ROOT

pytestmark = pytest.mark.cluster

CRD: Final = f"{PLURAL}.{GROUP}"
SPEC: Final = {"size": "7B", "strategy": "after"}


@pytest.fixture
def chart(stock_cluster: TestCluster, tmp_path: Path) -> Iterator[InstalledChart]:
    """To be installed; whatever a test leaves is removed."""
    yield InstalledChart(stock_cluster, tmp_path)
    remove_everything(stock_cluster)


def remove_everything(cluster: TestCluster) -> None:
    """Releases, the CRD with all runs, and claims."""
    ours = "--selector=app.kubernetes.io/name=qinstruct"
    cluster.kubectl("delete", "qit,pytorchjobs,jobs,pods,pvc", "--all-namespaces", ours)
    for kind in ("crd", "clusterrole", "clusterrolebinding", "validatingadmissionpolicy"):
        cluster.kubectl("delete", kind, ours, "--ignore-not-found")
    policy = "validatingadmissionpolicybinding"
    cluster.kubectl("delete", policy, "qinstruct-operator", "--ignore-not-found")
    cluster.kubectl("delete", "namespace", "qinstruct-system", "--ignore-not-found")


def test_the_samples_complete_with_the_default_values(
    stock_cluster: TestCluster, chart: InstalledChart
) -> None:
    notes = chart.install("--wait", "--timeout=60s")
    assert "training-operator is not installed" not in notes
    assert "rollout status deployment/qinstruct-operator" in notes
    stock_cluster.create_namespace("samples")
    with runs_of(stock_cluster, "samples") as runs, chart.operator() as operator:
        for name in SAMPLE_NAMES:
            runs.behave(name, "prep", Behaviour(run_for="1s"))
            runs.behave(name, "train", Behaviour(run_for="2s"), logs=lines({**STEP, "step": 430}))
            runs.kubectl("apply", "-f", str(SAMPLES / f"{name}.yaml"))
        for name in SAMPLE_NAMES:
            runs.wait_phase(name, "Complete", 180)
        assert operator.why_not_ready() == []
        log = operator.log
    assert "WARNING" not in log
    assert "ERROR" not in log
    assert "run-13b-mix" in ask(chart, chart.token())
    assert "Succeeded" in chart.helm("test")  # in pods of nodes that run nothing


def test_an_upgrade_leaves_a_run_alone_and_brings_the_new_crd(
    stock_cluster: TestCluster, chart: InstalledChart, tmp_path: Path
) -> None:
    chart.install(chart=older_chart(tmp_path))
    assert "tensorboard" not in tracking_fields(stock_cluster)
    stock_cluster.create_namespace("upgraded")
    with runs_of(stock_cluster, "upgraded") as runs:
        runs.behave("x", "train", FOR_EVER)
        with chart.operator():
            runs.apply("x", SPEC)
            runs.wait_phase("x", "Loading", 90)
        assert image(chart).endswith(":0.0.9")
        before = children(runs)
        chart.helm("upgrade", CHART)
        assert "tensorboard" in tracking_fields(stock_cluster)
        assert not image(chart).endswith(":0.0.9")
        with chart.operator():
            runs.kubectl("label", "qit", "x", "seen=yes")  # a pass by the new operator
            runs.apply("y", {"size": "Tiny", "strategy": "mix"})
            runs.wait_phase("y", "Complete", 90)
            assert [one for one in children(runs) if one in before] == before
            runs.end_pod("x", "train")
            runs.wait_phase("x", "Complete", 60)


def test_what_an_uninstall_keeps_a_new_install_goes_on_with(
    stock_cluster: TestCluster, chart: InstalledChart, tmp_path: Path
) -> None:
    chart.install()
    stock_cluster.create_namespace("kept")
    with runs_of(stock_cluster, "kept") as runs:
        for name in ("x", "gone"):
            runs.behave(name, "prep", FOR_EVER if name == "gone" else Behaviour(run_for="300ms"))
            runs.behave(name, "train", FOR_EVER)
        with chart.operator():
            runs.apply("x", SPEC)
            runs.apply("gone", {"size": "Tiny", "strategy": "mix"})
            runs.wait_phase("x", "Loading", 90)
            runs.wait_phase("gone", "Preparing", 90)
        before = children(runs)
        assert "kept due to the resource policy" in chart.helm("uninstall")
        assert children(runs) == before
        assert ours(stock_cluster) == {f"customresourcedefinition.apiextensions.k8s.io/{CRD}"}
        # Nothing waits for an operator that is not there.
        runs.kubectl("delete", "qit", "gone", "--timeout=20s")
        wait_until(lambda: "gone-prep" not in str(children(runs)), "its children are gone", 30)

        again = InstalledChart(stock_cluster, tmp_path / "again", release="second")
        with pytest.raises(HelmError, match="invalid ownership metadata"):
            again.install()
        again.install("--take-ownership")
        with again.operator():
            runs.end_pod("x", "train")
            runs.wait_phase("x", "Complete", 60)
        claims = runs.names("pvc")
        assert "PersistentVolumeClaim/x-output" in claims
        again.helm("uninstall")
        assert runs.names("pvc") == claims
        assert runs.get("qit")[0]["status"]["phase"] == "Complete"


def test_helm_takes_over_what_kustomize_has_installed(
    stock_cluster: TestCluster, chart: InstalledChart
) -> None:
    stock_cluster.kubectl("apply", "--server-side", "-k", ROOT / "manifests" / "base")
    before = ours(stock_cluster)
    with pytest.raises(HelmError, match="invalid ownership metadata"):
        chart.install()
    chart.install("--take-ownership", "--wait", "--timeout=60s")
    assert ours(stock_cluster) == before


NAMESPACED: Final[Values] = {"watchNamespaces": ["team-a"]}


def test_some_namespaces_are_served_with_roles_alone(
    stock_cluster: TestCluster, chart: InstalledChart
) -> None:
    for namespace in ("team-a", "team-b"):
        stock_cluster.create_namespace(namespace)
    chart.install(values=NAMESPACED)
    body = {"apiVersion": "qinstruct.dev/v1alpha1", "kind": "QInstructTraining", "spec": SPEC}
    other = send_request(
        stock_cluster.api, "POST", runs_path("team-b"), body | {"metadata": {"name": "other"}}
    )
    assert other.ok
    token = chart.token()
    with runs_of(stock_cluster, "team-a") as runs, chart.operator(token) as operator:
        runs.apply("whole", SPEC)
        runs.wait_phase("whole", "Complete", 90)
        assert "whole" in ask(chart, token)
        log = operator.log
    assert "WARNING" not in log
    still = send_request(stock_cluster.api, "GET", runs_path("team-b", "other")).content
    assert "status" not in still
    assert not stock_cluster.kubectl("get", "pvc,jobs,pods", "--namespace=team-b", "--output=name")
    asked = {
        event["objectRef"].get("namespace")
        for event in stock_cluster.api.audited(token)
        if "objectRef" in event
    }
    assert asked <= {"team-a", None}
    # A node may not be read, and is not needed.
    rights = granted(stock_cluster, "role", "qinstruct-operator", namespace="team-a")
    assert stock_cluster.api.audit_requests(token) - rights <= {("get", "", "nodes")}
    bindings = stock_cluster.kubectl("get", "clusterrolebindings", "--output=json")
    assert "qinstruct" not in bindings


@pytest.mark.parametrize(
    "path",
    [
        "/apis/qinstruct.dev/v1alpha1/qinstructtrainings",
        runs_path("default"),
        "/api/v1/pods",
        "/api/v1/nodes/cpu-0",
        "/api/v1/namespaces/default/configmaps/x-config",
        "/api/v1/namespaces/team-a/secrets",
        "/api/v1/namespaces/qinstruct-system/pods",
    ],
)
def test_such_an_account_reads_nothing_else(
    stock_cluster: TestCluster, chart: InstalledChart, path: str
) -> None:
    chart.install(values=NAMESPACED)
    answer = send_request(stock_cluster.api, "GET", path, token=chart.token())
    assert answer.code == 403


def test_a_cap_on_gpus_holds_for_each_namespace(
    stock_cluster: TestCluster, chart: InstalledChart
) -> None:
    chart.install(values={"gpuCap": {"enabled": True, "gpus": 4}})
    for namespace in ("small", "large"):
        stock_cluster.create_namespace(namespace)
    stock_cluster.kubectl("label", "namespace", "large", "qinstruct.dev/max-gpus=16")

    def create(namespace: str, name: str, **spec: Any) -> Any:
        body = {"apiVersion": "qinstruct.dev/v1alpha1", "kind": "QInstructTraining"}
        document = body | {"metadata": {"name": name}, "spec": SPEC | spec}
        return send_request(stock_cluster.api, "POST", runs_path(namespace), document)

    # The server knows a policy some moments after it is installed.
    wait_until(lambda: not create("small", "probe").ok, "the policy is there", 30)
    refused = create("small", "x").content["message"]
    assert "spec.gpu asks for 8 GPUs, and a run of namespace small may have 4" in refused
    assert create("small", "fits", gpu={"perNode": 4}).ok
    assert create("small", "cpu", size="Tiny", strategy="mix").ok
    assert create("large", "x", gpu={"perNode": 16}).ok


def ask(chart: InstalledChart, token: str) -> str:
    """What the containers of `helm test` print, with this token."""
    api = chart.cluster.api
    where = f"--namespace={chart.namespace}"
    hooks = helm("get", "hooks", chart.release, where, kubeconfig=api.admin_kubeconfig)
    kubeconfig = str(api.kubeconfig_for(token))
    said = ""
    for container in yaml.safe_load(hooks)["spec"]["containers"]:
        program, *arguments = container["command"]
        done = subprocess.run(
            [Path(sys.executable).with_name(program), *arguments],
            env={"KUBECONFIG": kubeconfig, "USER": "qinstruct"},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        said += done.stdout
    return said


def tracking_fields(cluster: TestCluster) -> set[str]:
    """The fields of `spec.tracking` that the server knows."""
    crd = json.loads(cluster.kubectl("get", "crd", CRD, "--output=json"))
    schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]
    return set(schema["spec"]["properties"]["tracking"]["properties"])


def image(chart: InstalledChart) -> str:
    (container,) = chart.deployment()["spec"]["template"]["spec"]["containers"]
    found: str = container["image"]
    return found


def children(runs: Runs) -> list[dict[str, Any]]:
    """Whatever a run has: name, identity, version and time of its deletion."""
    return sorted(
        (
            {name: one["metadata"].get(name) for name in ("name", "uid", "deletionTimestamp")}
            | {"kind": one["kind"]}
            | ({"version": one["metadata"]["resourceVersion"]} if one["kind"] == "Pod" else {})
            for one in runs.get("pods,jobs,pytorchjobs,configmaps,pvc")
            if one["metadata"]["name"] != "kube-root-ca.crt"
        ),
        key=lambda one: (one["kind"], one["name"]),
    )


def ours(cluster: TestCluster) -> set[str]:
    """Objects with the operator's label, in its namespace and in the cluster."""
    kinds = (
        "crd,clusterroles,clusterrolebindings,validatingadmissionpolicies,"
        "validatingadmissionpolicybindings,deployments,serviceaccounts,networkpolicies,roles,"
        "rolebindings"
    )
    label = "--selector=app.kubernetes.io/component=operator"
    found = cluster.kubectl("get", kinds, "--all-namespaces", label, "--output=name")
    return set(found.split())
