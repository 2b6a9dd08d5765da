"""The in-memory API server keeps the contract of the port; tests/cluster has the real one."""

import asyncio

import pytest

pytest.register_assert_rewrite("support.port_contract")

from qinstruct_operator.kinds import Kind  # noqa: E402 - after the line above
from support.fake_cluster.cluster import FakeCluster  # noqa: E402
from support.port_contract.suite import BEHAVIOURS  # noqa: E402
from support.port_contract.target import Behaviour, Target  # noqa: E402


@pytest.mark.parametrize("behaviour", BEHAVIOURS, ids=lambda one: one.__name__)
def test_the_fake_cluster_keeps_the_contract(behaviour: Behaviour) -> None:
    fake = FakeCluster()

    async def delete(kind: Kind, name: str) -> None:
        fake.delete(kind, "team", name)

    asyncio.run(behaviour(Target(fake, fake.as_manager("somebody-else"), "team", delete)))
