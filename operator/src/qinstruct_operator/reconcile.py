"""Reconcile: one pass over one run, from reading it to writing its status. Needs the cluster.

The only module that joins the pure core and the cluster. Each pass reads the run again, whatever
triggered it, so a lost, repeated or late event only costs time.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from qinstruct_operator.api.status import Status
from qinstruct_operator.cluster.errors import ClusterError, Conflict, NotFound
from qinstruct_operator.cluster.port import Cluster, Resource
from qinstruct_operator.core.children import Manifest
from qinstruct_operator.core.condition_list import is_finished
from qinstruct_operator.core.decide import Action, Apply, Create, Patch, decide, requeue_after
from qinstruct_operator.core.judge.gpu_hours import with_unwritten
from qinstruct_operator.core.judge.judge import judge
from qinstruct_operator.core.judge.observe import Snapshot, observe
from qinstruct_operator.core.judge.transitions import is_news, transition_events
from qinstruct_operator.core.run import Run, shared_claim_ids
from qinstruct_operator.core.untyped_json import at
from qinstruct_operator.gather import Reads, gather, get_attempt, list_pods
from qinstruct_operator.kinds import TRAINING
from qinstruct_operator.settings import Settings

_EVENT_SECONDS = 5.0  # for all events of a pass

_OLD_CRD = (
    f"the CRD {TRAINING.plural}.{TRAINING.group} of this cluster is older than the operator and "
    "drops status.recovery, so that no run that has failed goes on; have an administrator run "
    "`kubectl apply --server-side -f crds/qinstruct.dev_qinstructtrainings.yaml`"
)

_logger = logging.getLogger(__name__)


class Told(ClusterError):  # noqa: N818 - an outcome more than an error
    """A request of a pass failed, and the run's status says so; the pass must be repeated."""


@dataclass(frozen=True)
class _Pass:
    """What one pass has seen and sent.

    Attributes:
        snapshot: with the children as the server returned them.
        found: a child that was taken for absent exists; nothing was sent after it.
        refused: why the server did not take a child; nothing was sent after it.
        error: the first request that failed.
    """

    snapshot: Snapshot
    found: bool = False
    refused: str = ""
    error: ClusterError | None = None


@dataclass(frozen=True)
class Reconciler:
    """Brings runs one step further.

    Attributes:
        cluster: the API server that holds them.
        settings: of this installation.
        now: the clock: the server's, since it stamps the objects.

    GPU-hours grow with the clock, and are not written at each pass. So the last status of each run
    at work is remembered: a pod that vanishes has held its GPUs until it was seen last.
    """

    cluster: Cluster
    settings: Settings
    now: Callable[[], datetime]
    _unwritten: dict[tuple[str, str], Status] = field(default_factory=dict, repr=False)

    async def reconcile(self, namespace: str, name: str) -> float | None:
        """One pass over one run: read, plan, observe, decide, apply, judge, write.

        A request for a child that fails does not end the pass: what was seen is judged and
        written first.

        Returns:
            Seconds until the next pass; None: only an event triggers it.

        Raises:
            Told: a request for a child failed; the status says so, and the pass must be repeated.
            ClusterError: the run could not be read, or its status not written.
        """
        resource = await self.cluster.get(TRAINING, namespace, name)
        unwritten = self._unwritten.pop((namespace, name), None)
        if resource is None or resource["metadata"].get("deletionTimestamp"):
            return None
        run = Run.read(resource, self.settings)
        done = await self._begin(run) or await self._go_on(run)
        seen = replace(observe(run, done.snapshot), refused=done.refused)
        now = self.now()
        known = replace(run, status=with_unwritten(run.status, unwritten))
        status = judge(known, seen, now)
        if not is_finished(status):
            self._unwritten[namespace, name] = status
        try:
            await self._write(run, resource, status, now)
        except NotFound:
            self._unwritten.pop((namespace, name), None)
            return None  # deleted meanwhile
        if (error := done.error) is not None and not is_finished(status):
            raise Told(str(error), status=error.status, retry_after=error.retry_after) from error
        return requeue_after(status, seen, self.settings, now)

    async def _begin(self, run: Run) -> _Pass | None:
        """Create the first children of a new run, and read only what is not to be created now.

        That are the pods of its name; the claims that others made or share, which it may not be
        allowed to use; and the training workload: hours later, after preparation, would be late to
        learn that its name is taken.

        None where one of the children or a pod exists (from an interrupted pass, an earlier run or
        another creator), and for a run that has a status already, cannot begin or is suspended.
        """
        if run.status != Status() or run.plan is None or run.suspend:
            return None
        ids = shared_claim_ids(run.plan)
        try:
            (pods, training), claims = await asyncio.gather(
                asyncio.gather(list_pods(self.cluster, run), get_attempt(self.cluster, run, 1)),
                asyncio.gather(
                    *(self.cluster.get(kind, run.namespace, name) for kind, name in ids)
                ),
            )
        except ClusterError:
            return None  # read again, and told, by `_go_on`
        if pods or training:
            return None
        snapshot = Snapshot(support=dict(zip(ids, claims, strict=True)))
        done = await self._send(decide(run, observe(run, snapshot), self.now()), snapshot)
        return None if done.found else done

    async def _go_on(self, run: Run) -> _Pass:
        """Read, and send what is due and absent."""
        reads = Reads()
        snapshot = await gather(self.cluster, run, self.now(), reads)
        done = await self._send(decide(run, observe(run, snapshot), self.now()), snapshot)
        return replace(done, error=next(iter(reads.failures.values()), done.error))

    async def _send(self, actions: Iterable[Action], snapshot: Snapshot) -> _Pass:
        """Send in order, until the cluster does not take one."""
        by: dict[type[Action], Callable[[Resource], Awaitable[Resource | None]]] = {
            Create: self.cluster.create,
            Apply: self.cluster.apply,
            Patch: self.cluster.patch,
        }
        for action in actions:
            try:
                made = await by[type(action)](action.child.manifest)
            except Conflict as error:
                # E.g. a quota that was changed at the same moment: no refusal, but tried again.
                return _Pass(snapshot, error=error)
            except ClusterError as error:
                # A workload that is gone meanwhile refuses nothing.
                is_gone = isinstance(action, Patch) and isinstance(error, NotFound)
                return _Pass(snapshot, refused="" if is_gone else str(error), error=error)
            if made is not None:
                snapshot = _with(snapshot, action, made)
            elif not action.child.is_shared:
                # Even the run's own claim: it may be an earlier run's that is being deleted.
                return _Pass(snapshot, found=True)
        return _Pass(snapshot)

    async def _write(self, run: Run, resource: Resource, status: Status, now: datetime) -> None:
        """Write what changed: events first, so that none is lost if the operator dies here."""
        if not is_news(run.status, status):
            return
        lost = await self._post(transition_events(run, status, now))
        sent = status_json(status)
        written = await self.cluster.replace_status(resource, sent)
        for event, error in await self._post([event for event, _ in lost]):
            _logger.warning("event %s of %s is lost: %s", event["reason"], run.name, error)
        if at(written, "status", "recovery") != sent.get("recovery"):
            raise ClusterError(_OLD_CRD)

    async def _post(self, events: Iterable[Manifest]) -> list[tuple[Manifest, Exception]]:
        """Post events; those that failed. They are for people: none may stop or delay a pass."""
        lost: list[tuple[Manifest, Exception]] = []
        deadline = asyncio.get_running_loop().time() + _EVENT_SECONDS
        for event in events:
            try:
                async with asyncio.timeout_at(deadline):
                    await self.cluster.create(event)
            except (ClusterError, TimeoutError) as error:
                lost.append((event, error))
        return lost


def _with(snapshot: Snapshot, action: Action, made: Resource) -> Snapshot:
    """What was seen, with what the server has just returned."""
    if isinstance(action, Patch):
        return snapshot.with_patched(made)
    return snapshot.with_created(action.child, made)


def status_json(status: Status) -> dict[str, Any]:
    """A status as the API server takes it, without the fields that have no value."""
    return status.model_dump(mode="json", exclude_none=True)
