"""The test cluster of a session, and a namespace for each test."""

import secrets
import shutil
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Final

import pytest

from cluster.clients.operator_process import Operator, install, operator_process
from cluster.clients.rights import forbidden
from cluster.clients.runs import Runs, runs_of
from cluster.harness import control_plane, needs
from cluster.harness.processes import Processes
from cluster.harness.programs import program
from cluster.harness.testcluster import PROGRAMS_USED, OwnCluster, TestCluster
from qinstruct_operator.constants import GROUP, PLURAL

_CLUSTERS: Final = {"test_cluster", "stock_cluster", "bare_cluster"}


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Function) -> Generator[None, object, object]:
    """Build before a test's clock starts: from nothing it takes longer than a test may."""
    if _CLUSTERS & set(item.fixturenames):
        needs.build(*PROGRAMS_USED, "helm")
    elif "kubectl" in item.fixturenames:
        needs.build("kubectl")
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Function,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Name the folder of the cluster's logs in the report of a failure."""
    report = yield
    for cluster in (item.funcargs.get(name) for name in _CLUSTERS):
        if report.failed and isinstance(cluster, OwnCluster):
            report.sections.append(("test cluster", f"logs: {cluster.folder}"))
    return report


@pytest.fixture(scope="session")
def test_cluster(request: pytest.FixtureRequest) -> Iterator[TestCluster]:
    """A running cluster; its logs are kept when a test failed."""
    with needs.reporting():
        cluster = TestCluster.start()
    yield cluster
    cluster.stop(keep_logs=request.session.testsfailed > 0)


@pytest.fixture(scope="module")
def stock_cluster(request: pytest.FixtureRequest) -> Iterator[TestCluster]:
    """One with the training-operator, in which nobody has installed anything of ours."""
    with needs.reporting():
        program("helm")
        cluster = TestCluster.start()
    cluster.kubectl("delete", "crd", f"{PLURAL}.{GROUP}")
    yield cluster
    cluster.stop(keep_logs=request.session.testsfailed > 0)


@pytest.fixture(scope="module")
def bare_cluster(request: pytest.FixtureRequest) -> Iterator[OwnCluster]:
    """A control plane alone: no training-operator, no nodes, and nothing of ours."""
    with needs.reporting():
        program("helm")
        processes = Processes(Path(tempfile.mkdtemp(prefix="qinstruct-cluster-")))
        cluster = OwnCluster(control_plane.start(processes))
    yield cluster
    processes.close()
    if not request.session.testsfailed:
        shutil.rmtree(cluster.folder)


@pytest.fixture
def namespace(test_cluster: TestCluster) -> Iterator[str]:
    """A namespace that refuses every pod that is not restricted."""
    name = f"test-{secrets.token_hex(4)}"
    test_cluster.create_namespace(name)
    yield name
    test_cluster.kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture(scope="module")
def operator_token(test_cluster: TestCluster) -> str:
    """A token of the operator's service account that only this module's operator has."""
    return install(test_cluster.api)


@pytest.fixture(scope="module")
def operator(
    test_cluster: TestCluster, operator_token: str, request: pytest.FixtureRequest
) -> Iterator[Operator]:
    """The operator for all namespaces, with the rights of its service account only.

    It must need no other: whatever it asks for in the whole module is allowed once.
    """
    kubeconfig = test_cluster.api.kubeconfig_for(operator_token)
    environment = {"QINSTRUCT_PROGRESS_SECONDS": "1", "QINSTRUCT_WAITING_SECONDS": "4"}
    folder = test_cluster.folder / f"operator-{request.module.__name__}"
    with operator_process(folder, kubeconfig, environment=environment) as process:
        yield process
    assert forbidden(test_cluster, operator_token) == set()


@pytest.fixture
def runs(test_cluster: TestCluster, operator: Operator, namespace: str) -> Iterator[Runs]:
    """The runs of a namespace of the operator."""
    with runs_of(test_cluster, namespace) as found:
        yield found
