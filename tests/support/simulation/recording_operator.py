"""The operator's view of a simulated cluster: its writes are recorded, and one may kill it."""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from qinstruct_operator.cluster.port import Resource
from qinstruct_operator.core.condition_list import is_finished
from qinstruct_operator.kinds import EVENT, Kind
from support.kinds import PYTORCHJOB
from support.observed import NAMESPACE

if TYPE_CHECKING:
    from support.simulation.simulated_cluster import SimulatedCluster


class Died(BaseException):
    """The operator process is killed. Not an `Exception`: nothing may catch it."""


@dataclass
class Operator:
    """The cluster port of the operator: records its writes, and kills it at one of them.

    Attributes:
        writes: method, kind and name of each, in order.
        dies_at: number of the write at which it dies, counted from 0.
        dies_before: that write has no effect; otherwise only its answer is lost.
    """

    owner: "SimulatedCluster"
    writes: list[tuple[str, str, str]] = field(default_factory=list)
    dies_at: int | None = None
    dies_before: bool = False

    async def get(self, kind: Kind, namespace: str | None, name: str) -> Resource | None:
        return await self.owner.cluster.get(kind, namespace, name)

    async def list(
        self,
        kind: Kind,
        namespace: str | None,
        *,
        labels: Mapping[str, str] | None = None,
        fields: Mapping[str, str] | None = None,
    ) -> tuple[Resource, ...]:
        return await self.owner.cluster.list(kind, namespace, labels=labels, fields=fields)

    async def read_log(
        self, namespace: str, pod: str, container: str, *, tail_lines: int
    ) -> tuple[str, ...]:
        return await self.owner.cluster.read_log(namespace, pod, container, tail_lines=tail_lines)

    def follow_log(self, namespace: str, pod: str, container: str) -> AsyncGenerator[str, None]:
        return self.owner.cluster.follow_log(namespace, pod, container)

    async def apply(self, manifest: Resource) -> Resource:
        async with self._write("apply", manifest):
            return await self.owner.cluster.apply(manifest)

    async def patch(self, patch: Resource) -> Resource:
        async with self._write("patch", patch):
            return await self.owner.cluster.patch(patch)

    async def create(self, manifest: Resource) -> Resource | None:
        async with self._write("create", manifest):
            made = await self.owner.cluster.create(manifest)
            await self.owner.take_notice(manifest)
            return made

    async def replace_status(self, resource: Resource, status: Mapping[str, Any]) -> Resource:
        async with self._write("replace_status", resource):
            return await self.owner.cluster.replace_status(resource, status)

    @asynccontextmanager
    async def _write(self, method: str, resource: Resource) -> AsyncIterator[None]:
        kind, name = resource["kind"], resource["metadata"]["name"]
        if kind != EVENT.kind:  # one about the end may come after it
            assert not is_finished(await self.owner.status()), f"{method} {kind}: it has ended"
        if kind == PYTORCHJOB.kind:
            assert self.owner.was_prepared, "a GPU is asked for before prep has succeeded"
            there = await self.owner.cluster.get(PYTORCHJOB, NAMESPACE, name)
            assert there or await self.owner.live_training() == [], "two attempts at once"
        dies = len(self.writes) == self.dies_at
        self.writes.append((method, kind, name))
        if dies and self.dies_before:
            raise Died
        yield
        if dies:
            raise Died
