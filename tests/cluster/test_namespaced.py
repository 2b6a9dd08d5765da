"""`manifests/namespaced`: an operator that serves some namespaces, with rights in those alone."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from cluster.clients.operator_process import ACCOUNT, install, operator_process
from cluster.clients.runs import Runs
from cluster.harness.api_request import runs_path, send_request
from cluster.harness.testcluster import TestCluster
from support.readme import ROOT

pytestmark = pytest.mark.cluster

SPEC: Final = {"size": "7B", "strategy": "after"}


@pytest.fixture(scope="module")
def operator() -> None:
    """None for all namespaces: the rights of its account are taken away here."""


@pytest.fixture
def token(test_cluster: TestCluster, namespace: str) -> Iterator[str]:
    """Of the account of `manifests/namespaced`, bound in the test's namespace as the docs say."""
    test_cluster.kubectl("delete", "clusterrolebinding", ACCOUNT, "--ignore-not-found")
    token = install(test_cluster.api, "namespaced")
    test_cluster.kubectl(*binding(namespace))
    yield token
    install(test_cluster.api)


def binding(namespace: str) -> list[str]:
    """What docs/operations.md says to do in each namespace, for this one."""
    text = (ROOT / "docs" / "operations.md").read_text("utf-8")
    begin = text.index("kubectl create rolebinding")
    command = text[begin : text.index("\n\n", begin)].replace("\\\n", " ")
    return command.replace("team-a", namespace).split()[1:]


def test_a_run_of_a_named_namespace_completes_and_no_other_is_seen(
    test_cluster: TestCluster, runs: Runs, token: str, tmp_path: Path
) -> None:
    test_cluster.create_namespace("team-b")
    path = runs_path("team-b")
    body = {"apiVersion": "qinstruct.dev/v1alpha1", "kind": "QInstructTraining", "spec": SPEC}
    send_request(test_cluster.api, "POST", path, body | {"metadata": {"name": "other"}})
    kubeconfig = test_cluster.api.kubeconfig_for(token)
    with operator_process(tmp_path, kubeconfig, namespaces=[runs.namespace]) as process:
        runs.apply("whole", SPEC)
        runs.wait_phase("whole", "Complete", 90)
        log = process.log
    assert "WARNING" not in log
    other = send_request(test_cluster.api, "GET", runs_path("team-b", "other"))
    assert other.ok
    assert "status" not in other.content


@pytest.mark.parametrize(
    "path",
    [
        "/apis/qinstruct.dev/v1alpha1/qinstructtrainings",
        runs_path("default"),
        "/api/v1/pods",
        "/api/v1/namespaces/default/pods",
        "/api/v1/namespaces/default/configmaps/x-config",
        "/api/v1/namespaces/default/pods/x/log",
        "/api/v1/secrets",
    ],
)
def test_the_account_reads_no_other_namespace(
    test_cluster: TestCluster, token: str, path: str
) -> None:
    assert send_request(test_cluster.api, "GET", path, token=token).code == 403
