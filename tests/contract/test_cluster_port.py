"""The in-memory API server keeps the contract of the port; tests/cluster holds a real one to it."""

import asyncio
from dataclasses import dataclass, field

import pytest

pytest.register_assert_rewrite("support.port_contract")

from qinstruct_operator.cluster.kinds import Kind  # noqa: E402 - after the line above
from support.fake_cluster import FakeCluster  # noqa: E402
from support.port_contract import BEHAVIOURS, Behaviour  # noqa: E402


@dataclass
class FakeSite:
    cluster: FakeCluster = field(default_factory=FakeCluster)
    namespace: str = "team"

    @property
    def other(self) -> FakeCluster:
        return self.cluster.as_manager("somebody-else")

    async def delete(self, kind: Kind, name: str) -> None:
        self.cluster.delete(kind, self.namespace, name)


@pytest.mark.parametrize("behaviour", BEHAVIOURS, ids=lambda one: one.__name__)
def test_the_fake(behaviour: Behaviour) -> None:
    asyncio.run(behaviour(FakeSite()))
