"""An API server in memory behind `port.Cluster`; the contract suite holds it to a real one.

It has no clock and no randomness. It leaves out: validation against schemas, defaults that a
server fills in, controllers (but for the garbage collector), admission, watches.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from qinstruct_operator.cluster.errors import ClusterError, NotFound, Refused
from qinstruct_operator.cluster.port import Resource
from qinstruct_operator.constants import FIELD_MANAGER
from qinstruct_operator.kinds import EVENT, POD, Kind
from support.fake_cluster.fields import Path
from support.fake_cluster.store import Store, key_of
from support.kinds import ALL_KINDS

_EVERY_SELECTOR: Final = frozenset({"metadata.name", "metadata.namespace"})
_FIELD_SELECTORS: Final[Mapping[Kind, frozenset[str]]] = {
    EVENT: frozenset(
        {
            "type",
            "reason",
            *(f"involvedObject.{key}" for key in ("kind", "namespace", "name", "uid")),
        }
    ),
    POD: frozenset({"spec.nodeName", "status.phase"}),
}


@dataclass(frozen=True)
class Call:
    """A request as the server saw it."""

    method: str
    kind: Kind
    namespace: str | None
    name: str | None


@dataclass
class _Log:
    lines: list[str] = field(default_factory=list)
    ended: bool = False
    lost: ClusterError | None = None


@dataclass
class _Fault:
    error: BaseException
    method: str | None
    kind: Kind | None
    after: int
    times: int
    lost: bool

    def strikes(self, call: Call) -> bool:
        """Whether this call fails; counts it."""
        if self.method not in (None, call.method) or self.kind not in (None, call.kind):
            return False
        if self.after > 0:
            self.after -= 1
            return False
        self.times -= 1
        return self.times >= 0


@dataclass
class _Shared:
    store: Store
    logs: dict[tuple[str, str, str], _Log] = field(default_factory=dict)
    log_written: asyncio.Event = field(default_factory=asyncio.Event)
    faults: list[_Fault] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)


class FakeCluster:
    """The server, as seen by one field manager.

    Attributes:
        namespace: the default namespace of whoever is connected.
        server: its URL.
    """

    def __init__(
        self,
        *,
        kinds: Iterable[Kind] = ALL_KINDS,
        field_manager: str = FIELD_MANAGER,
        now: str = "2026-01-01T00:00:00Z",
        namespace: str = "default",
    ) -> None:
        self._shared = _Shared(Store(set(kinds), now))
        self._store = self._shared.store
        self._manager = field_manager
        self.namespace = namespace
        self.server = "https://cluster.example"

    async def get(self, kind: Kind, namespace: str | None, name: str) -> Resource | None:
        """As `port.Cluster.get`."""
        async with self._call("get", kind, namespace, name):
            self._store.require(kind)
            return self._store.get((kind, namespace, name))

    async def list(
        self,
        kind: Kind,
        namespace: str | None,
        *,
        labels: Mapping[str, str] | None = None,
        fields: Mapping[str, str] | None = None,
    ) -> tuple[Resource, ...]:
        """As `port.Cluster.list`."""
        async with self._call("list", kind, namespace, None):
            self._store.require(kind)
            known = _EVERY_SELECTOR | _FIELD_SELECTORS.get(kind, frozenset())
            if not known.issuperset(fields or ()):
                raise Refused(f"list {kind.plural}: only by the fields {sorted(known)}", status=400)
            wanted: dict[Path, str] = {
                ("metadata", "labels", key): value for key, value in (labels or {}).items()
            }
            wanted |= {tuple(key.split(".")): value for key, value in (fields or {}).items()}
            return self._store.select(kind, namespace, wanted)

    async def apply(self, manifest: Resource) -> Resource:
        """As `port.Cluster.apply`."""
        async with self._call("apply", *key_of(manifest)):
            return self._store.apply(manifest, self._manager)

    async def patch(self, patch: Resource) -> Resource:
        """As `port.Cluster.patch`."""
        async with self._call("patch", *key_of(patch)):
            return self._store.patch(patch, self._manager)

    async def create(self, manifest: Resource) -> Resource | None:
        """As `port.Cluster.create`."""
        async with self._call("create", *key_of(manifest)):
            return self._store.create(manifest, self._manager)

    async def replace_status(self, resource: Resource, status: Mapping[str, Any]) -> Resource:
        """As `port.Cluster.replace_status`."""
        async with self._call("replace_status", *key_of(resource)):
            return self._store.put_status(resource, status, self._manager)

    async def read_log(
        self, namespace: str, pod: str, container: str, *, tail_lines: int
    ) -> tuple[str, ...]:
        """As `port.Cluster.read_log`."""
        async with self._call("read_log", POD, namespace, pod):
            try:
                log = self._log(namespace, pod, container)
            except NotFound:
                return ()
            return tuple(log.lines[-tail_lines:]) if log and tail_lines else ()

    async def follow_log(
        self, namespace: str, pod: str, container: str
    ) -> AsyncGenerator[str, None]:
        """As `port.Cluster.follow_log`."""
        async with self._call("follow_log", POD, namespace, pod):
            log = self._log(namespace, pod, container)
            if log is None:
                raise Refused(f"container {container!r} is waiting to start", status=400)
        given = 0
        while True:
            written = self._shared.log_written
            for line in log.lines[given:]:
                given += 1
                yield line
            if log.lost:
                raise log.lost
            if log.ended:
                return
            await written.wait()

    # For tests: what others do to the cluster, what goes wrong, what was asked.

    def as_manager(self, field_manager: str) -> "FakeCluster":
        """The same server, as seen by another field manager."""
        other = FakeCluster(field_manager=field_manager, namespace=self.namespace)
        other._shared, other._store = self._shared, self._store
        return other

    def set_now(self, now: str) -> None:
        """Set the creationTimestamp of what is created from now on."""
        self._store.now = now

    def edit(
        self, kind: Kind, namespace: str | None, name: str, change: Callable[[Resource], object]
    ) -> Resource:
        """Let somebody else change an object in place: spec, metadata and status alike."""
        key = (kind, namespace, name)
        resource = self._store.get(key)
        assert resource is not None, f"there is no {kind.kind} {namespace}/{name}"
        change(resource)
        return self._store.put(key, resource, "somebody")

    def uninstall(self, kind: Kind) -> None:
        """Let the server not know a kind; its objects are there again when it does."""
        self._store.kinds.discard(kind)

    def install(self, kind: Kind) -> None:
        """Let the server know a kind."""
        self._store.kinds.add(kind)

    def set_status(
        self, kind: Kind, namespace: str | None, name: str, status: Resource
    ) -> Resource:
        """Let a controller write an object's status."""
        return self.edit(kind, namespace, name, lambda found: found.update(status=status))

    def delete(self, kind: Kind, namespace: str | None, name: str) -> None:
        """Delete an object, and with it what it owns."""
        self._store.delete((kind, namespace, name))
        logs = self._shared.logs  # that of a pod goes with it
        for key in [each for each in logs if kind == POD and each[:2] == (namespace, name)]:
            del logs[key]

    def write_log(self, namespace: str, pod: str, container: str, *lines: str) -> None:
        """Start a container's log, or add lines to it."""
        self._shared.logs.setdefault((namespace, pod, container), _Log()).lines.extend(lines)
        self._wake()

    def end_log(
        self, namespace: str, pod: str, container: str, lost: ClusterError | None = None
    ) -> None:
        """End a container's log: the container has ended, or the connection is lost."""
        log = self._shared.logs.setdefault((namespace, pod, container), _Log())
        log.ended, log.lost = True, lost
        self._wake()

    def fail(
        self,
        error: BaseException,
        method: str | None = None,
        *,
        kind: Kind | None = None,
        after: int = 0,
        times: int = 1,
        lost: bool = False,
    ) -> None:
        """Let requests go wrong.

        Args:
            error: what they raise.
            method: only those of this method of the port.
            kind: only those for this kind.
            after: let as many of them pass first.
            times: how many go wrong.
            lost: they take effect, and only the answer is lost.
        """
        self._shared.faults.append(_Fault(error, method, kind, after, times, lost))

    def heal(self) -> None:
        """Let every further request go well."""
        self._shared.faults.clear()

    @property
    def calls(self) -> tuple[Call, ...]:
        """Every request so far."""
        return tuple(self._shared.calls)

    @asynccontextmanager
    async def _call(
        self, method: str, kind: Kind, namespace: str | None, name: str | None
    ) -> AsyncIterator[None]:
        call = Call(method, kind, namespace, name)
        self._shared.calls.append(call)
        # Every fault counts every call; the first of those that strike decides.
        struck = [fault for fault in self._shared.faults if fault.strikes(call)]
        await asyncio.sleep(0)  # as long as a request is under way, others run
        if struck and not struck[0].lost:
            raise struck[0].error
        yield
        if struck:
            raise struck[0].error

    def _log(self, namespace: str, pod: str, container: str) -> _Log | None:
        found = self._store.get((POD, namespace, pod))
        if found is None:
            raise NotFound(f'pods "{pod}" not found', status=404)
        if container not in [one["name"] for one in found["spec"]["containers"]]:
            raise Refused(f"container {container} is not valid for pod {pod}", status=400)
        return self._shared.logs.get((namespace, pod, container))

    def _wake(self) -> None:
        written, self._shared.log_written = self._shared.log_written, asyncio.Event()
        written.set()
