"""The test cluster of a session, and a namespace for each test."""

import os
import secrets
from collections.abc import Iterator

import pytest

from cluster.programs import BuildError
from cluster.testcluster import TestCluster


@pytest.fixture(scope="session")
def test_cluster(request: pytest.FixtureRequest) -> Iterator[TestCluster]:
    """A running cluster; its logs are kept, and their folder named, when a test failed."""
    if os.environ.get("QINSTRUCT_SKIP_CLUSTER") == "1":
        pytest.skip("QINSTRUCT_SKIP_CLUSTER=1: tests that need a real cluster are left out")
    try:
        cluster = TestCluster.start()
    except BuildError as error:
        pytest.fail(f"{error}\nQINSTRUCT_SKIP_CLUSTER=1 leaves out what needs a real cluster.")
    yield cluster
    failed = request.session.testsfailed > 0
    cluster.stop(keep_logs=failed)
    if failed:
        print(f"\nlogs of the test cluster: {cluster.folder}")  # noqa: T201 - for who reads it


@pytest.fixture
def namespace(test_cluster: TestCluster) -> Iterator[str]:
    """A namespace that refuses every pod that is not restricted, as ours must be."""
    name = f"test-{secrets.token_hex(4)}"
    test_cluster.create_namespace(name)
    yield name
    test_cluster.kubectl("delete", "namespace", name, "--wait=false")
