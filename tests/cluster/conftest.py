"""The test cluster of a session, and a namespace for each test."""

import os
import secrets
from collections.abc import Generator, Iterator
from contextlib import suppress
from functools import cache

import pytest

from cluster.clients.operator_process import Operator, install, operator_process
from cluster.clients.runs import Runs
from cluster.clients.watch import open_watch
from cluster.harness.programs import BuildError, program
from cluster.harness.testcluster import PROGRAMS_USED, TestCluster


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Function) -> Generator[None, object, object]:
    """Build before a test's clock starts: from nothing it takes longer than a test may."""
    if "test_cluster" in item.fixturenames and not _skipped():
        _build_programs()
    return (yield)


@cache
def _build_programs() -> None:
    """Once a worker: to find a program its module files are read and digested."""
    with suppress(BuildError):  # the fixture reports it
        for name in PROGRAMS_USED:
            program(name)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Function,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Name the folder of the cluster's logs in the report of a failure."""
    report = yield
    cluster = item.funcargs.get("test_cluster")
    if report.failed and isinstance(cluster, TestCluster):
        report.sections.append(("test cluster", f"logs: {cluster.folder}"))
    return report


def _skipped() -> bool:
    return os.environ.get("QINSTRUCT_SKIP_CLUSTER") == "1"


@pytest.fixture(scope="session")
def test_cluster(request: pytest.FixtureRequest) -> Iterator[TestCluster]:
    """A running cluster; its logs are kept when a test failed."""
    if _skipped():
        pytest.skip("QINSTRUCT_SKIP_CLUSTER=1: tests that need a real cluster are left out")
    try:
        cluster = TestCluster.start()
    except BuildError as error:
        said = f"{error}\nQINSTRUCT_SKIP_CLUSTER=1 leaves out what needs a real cluster."
        pytest.fail(said, pytrace=False)
    yield cluster
    cluster.stop(keep_logs=request.session.testsfailed > 0)


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
    """The operator for all namespaces, with the rights of its service account only."""
    kubeconfig = test_cluster.api.kubeconfig_for(operator_token)
    environment = {"QINSTRUCT_PROGRESS_SECONDS": "1", "QINSTRUCT_WAITING_SECONDS": "4"}
    folder = test_cluster.folder / f"operator-{request.module.__name__}"
    with operator_process(folder, kubeconfig, environment=environment) as process:
        yield process


@pytest.fixture
def runs(test_cluster: TestCluster, operator: Operator, namespace: str) -> Iterator[Runs]:
    """The runs of a namespace of the operator."""
    path = f"/apis/qinstruct.dev/v1alpha1/namespaces/{namespace}/qinstructtrainings"
    with open_watch(test_cluster.api, path) as watch:
        yield Runs(test_cluster, namespace, watch)
