"""Installations that go wrong end in a sentence that says what to do.

Here those that are the cluster's: no rights for the CRD, no training-operator, a quota. The
operator's image is wrong in `test_real_pods.py`; of a run, its conditions tell a storage class, an
image or a quota that is wrong (`test_failure_conditions.py`).
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from cluster.clients.installed_chart import InstalledChart
from cluster.harness.api_request import runs_path, send_request
from cluster.harness.processes import wait_until
from cluster.harness.testcluster import OwnCluster
from qinstruct_operator.constants import PLURAL
from qinstruct_operator.core.backends.pytorchjob import PYTORCHJOB
from support.helm_chart import CHART, HelmError, why_not_ready
from support.operator_documents import document
from support.readme import ROOT

pytestmark = pytest.mark.cluster

MINE: Final = {
    "watchNamespaces": ["mine"],
    "crds": {"install": False},
    "admissionPolicy": {"enabled": False},
}


@pytest.fixture
def tenant(bare_cluster: OwnCluster, tmp_path: Path) -> Iterator[InstalledChart]:
    """Of somebody who may do everything in the namespace `mine`, and nothing beside it."""
    bare_cluster.create_namespace("mine")
    bare_cluster.kubectl("create", "serviceaccount", "tenant", "--namespace=mine")
    bare_cluster.kubectl(
        *("create", "rolebinding", "tenant", "--namespace=mine"),
        *("--clusterrole=cluster-admin", "--serviceaccount=mine:tenant"),
    )
    kubeconfig = bare_cluster.api.kubeconfig_for(bare_cluster.api.token("mine", "tenant"))
    yield InstalledChart(bare_cluster, tmp_path, namespace="mine", kubeconfig=kubeconfig)
    bare_cluster.kubectl("delete", "namespace", "mine")


def test_somebody_without_rights_for_the_crd_is_told_who_installs_it(
    bare_cluster: OwnCluster, tenant: InstalledChart
) -> None:
    with pytest.raises(HelmError) as error:
        tenant.install()
    said = str(error.value)
    assert "is forbidden" in said
    assert "an administrator of the cluster must install the CRD" in said
    assert "--set crds.install=false,admissionPolicy.enabled=false" in said
    assert bare_cluster.kubectl("get", "deployments", "--namespace=mine", "--output=name") == ""


def test_who_serves_his_own_namespace_needs_no_right_beyond_it(
    bare_cluster: OwnCluster, tenant: InstalledChart
) -> None:
    notes = tenant.install(values=MINE)
    assert "The CRD is not installed" in notes
    assert "kubectl apply --server-side -f crds/" in notes
    bare_cluster.kubectl(
        "apply", "--server-side", "-f", str(ROOT / "crds/qinstruct.dev_qinstructtrainings.yaml")
    )
    bare_cluster.kubectl("wait", "--for=condition=Established", f"crd/{PLURAL}.qinstruct.dev")
    notes = tenant.helm("upgrade", CHART, values=MINE)
    assert "The CRD is not installed" not in notes
    tenant.helm("uninstall")
    bare_cluster.kubectl("delete", "crd", f"{PLURAL}.qinstruct.dev")


def test_without_the_training_operator_notes_and_the_first_run_say_how_to_install_it(
    bare_cluster: OwnCluster, tmp_path: Path
) -> None:
    chart = InstalledChart(bare_cluster, tmp_path)
    notes = chart.install()
    assert "training-operator is not installed" in notes
    assert PYTORCHJOB.install in notes
    bare_cluster.create_namespace("first")
    with chart.operator() as operator:
        assert send_request(bare_cluster.api, "POST", runs_path("first"), document()).ok
        wait_until(
            lambda: PYTORCHJOB.install in prepared(bare_cluster)["message"], "it is told", 60
        )
        assert prepared(bare_cluster)["reason"] == "Unreadable"
        assert "Traceback" not in operator.log
    assert bare_cluster.kubectl("get", "jobs", "--namespace=first", "--output=name") == ""


def test_a_quota_of_the_operators_namespace_is_told_by_the_command_of_the_notes(
    bare_cluster: OwnCluster, tenant: InstalledChart
) -> None:
    quota = ("create", "quota", "cpus", "--hard=limits.cpu=8", "--namespace=mine")
    bare_cluster.kubectl(*quota)
    notes = tenant.install(values=MINE)
    _, *command = why_not_ready(notes).split()
    wait_until(lambda: "must specify limits.cpu" in bare_cluster.kubectl(*command), "it is told")
    tenant.helm("upgrade", CHART, "--set=resources.limits.cpu=1", values=MINE)
    wait_until(
        lambda: bare_cluster.kubectl("get", "pods", "--namespace=mine", "--output=name") != "",
        "the pod is made",
    )


def prepared(cluster: OwnCluster) -> dict[str, Any]:
    """The condition `Prepared` of the run `x`."""
    run = send_request(cluster.api, "GET", runs_path("first", "x")).content
    conditions = run.get("status", {}).get("conditions", ())
    return next((one for one in conditions if one["type"] == "Prepared"), {"message": ""})
