"""Reconcile: one pass over one run, from reading it to writing its status. Needs the cluster.

The only module that joins the pure core and the cluster. Each pass reads the run again, whatever
triggered it, so a lost, repeated or late event only costs time.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from qinstruct_operator.api.status import Status
from qinstruct_operator.cluster.errors import Forbidden, NotFound, Refused
from qinstruct_operator.cluster.port import Cluster, Resource
from qinstruct_operator.core.decide import Action, Apply, decide, requeue_after
from qinstruct_operator.core.judge.judge import judge
from qinstruct_operator.core.judge.observe import Observed, Snapshot, observe
from qinstruct_operator.core.judge.transitions import transition_events
from qinstruct_operator.core.run import Run
from qinstruct_operator.gather import gather, list_pods
from qinstruct_operator.kinds import TRAINING
from qinstruct_operator.settings import Settings


@dataclass(frozen=True)
class _Sent:
    """The result of sending actions.

    Attributes:
        snapshot: with the children as the server returned them.
        found: a child that was taken for absent exists; nothing was sent after it.
        refused: the server's refusal of a child; nothing was sent after it.
    """

    snapshot: Snapshot
    found: bool = False
    refused: str = ""


@dataclass(frozen=True)
class Reconciler:
    """Brings runs one step further.

    Attributes:
        cluster: the API server that holds them.
        settings: of this installation.
        now: the clock.
    """

    cluster: Cluster
    settings: Settings
    now: Callable[[], datetime]

    async def reconcile(self, namespace: str, name: str) -> float | None:
        """One pass over one run: read, plan, observe, decide, apply, judge, write.

        Returns:
            Seconds until the next pass; None: only an event triggers it.

        Raises:
            ClusterError: the server refused or could not be reached; the pass must be repeated.
        """
        resource = await self.cluster.get(TRAINING, namespace, name)
        if resource is None or resource["metadata"].get("deletionTimestamp"):
            return None
        run = Run.read(resource, self.settings)
        seen = await self._begin(run) or await self._go_on(run)
        now = self.now()
        status = judge(run, seen, now)
        try:
            await self._write(run, resource, status, now)
        except NotFound:
            return None  # deleted meanwhile
        return requeue_after(status, seen, self.settings, now)

    async def _begin(self, run: Run) -> Observed | None:
        """Create the first children of a new run without reading more than the pods of its name.

        None where one or a pod exists (from an interrupted pass, an earlier run or another
        creator), and for a run that has a status already or cannot begin.
        """
        if run.status != Status() or run.plan is None or await list_pods(self.cluster, run):
            return None
        sent = await self._send(decide(run, Observed()), Snapshot())
        return None if sent.found else self._observe(run, sent)

    async def _go_on(self, run: Run) -> Observed:
        """Read, and send what is due and absent."""
        snapshot = await gather(self.cluster, run, self.now())
        actions = decide(run, observe(run, snapshot))
        return self._observe(run, await self._send(actions, snapshot))

    def _observe(self, run: Run, sent: _Sent) -> Observed:
        return replace(observe(run, sent.snapshot), refused=sent.refused)

    async def _send(self, actions: Iterable[Action], snapshot: Snapshot) -> _Sent:
        """Send in order, until the cluster refuses one."""
        for action in actions:
            child = action.child
            send = self.cluster.apply if isinstance(action, Apply) else self.cluster.create
            try:
                made = await send(child.manifest)
            except (Forbidden, NotFound, Refused) as error:
                return _Sent(snapshot, refused=str(error))
            if made is not None:
                snapshot = snapshot.with_created(child, made)
            elif not child.is_shared:
                # Even the run's own claim: it may be an earlier run's that is being deleted.
                return _Sent(snapshot, found=True)
        return _Sent(snapshot)

    async def _write(self, run: Run, resource: Resource, status: Status, now: datetime) -> None:
        """Write what changed: events first, so that none is lost if the operator dies here."""
        if status != run.status:
            for event in transition_events(run, status, now):
                await self.cluster.create(event)
            await self.cluster.replace_status(resource, status_json(status))


def status_json(status: Status) -> dict[str, Any]:
    """A status as the API server takes it, without the fields that have no value."""
    return status.model_dump(mode="json", by_alias=True, exclude_none=True)
