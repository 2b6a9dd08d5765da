"""`qinstruct` before an in-memory cluster."""

import pytest

from support.cli.cluster_commands import TEAM, CommandLine
from support.fake_cluster.cluster import FakeCluster


@pytest.fixture
def cluster() -> FakeCluster:
    """A cluster without runs."""
    return FakeCluster(namespace=TEAM)


@pytest.fixture
def qinstruct(monkeypatch: pytest.MonkeyPatch, cluster: FakeCluster) -> CommandLine:
    """The command line, which finds this cluster wherever it connects."""
    return CommandLine(monkeypatch, cluster)
