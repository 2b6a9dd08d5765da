"""Reconcile: the straight line for one run. Needs the cluster.

The only module that joins the pure core and the cluster. Whatever wakes it up, it reads the run
anew, so a lost, doubled or late event costs time and nothing else.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from qinstruct_operator.api.parse import parse
from qinstruct_operator.api.read_status import read_status
from qinstruct_operator.api.status import Status
from qinstruct_operator.cluster.port import Cluster, Resource
from qinstruct_operator.constants import CONDITION_PREPARED, LABEL_RUN
from qinstruct_operator.core.children import Manifest
from qinstruct_operator.core.decide import due, requeue_after
from qinstruct_operator.core.judge import conditions, transitions
from qinstruct_operator.core.judge.judge import judge, present_attempt
from qinstruct_operator.core.judge.observe import Observed, Run, Snapshot, observe
from qinstruct_operator.core.plan.make import Plan, make_plan
from qinstruct_operator.errors import Forbidden, InvalidSpec, NotFound, Refused, Violation
from qinstruct_operator.gather import gather
from qinstruct_operator.kinds import CLAIM, CONFIG_MAP, TRAINING
from qinstruct_operator.settings import Settings


@dataclass(frozen=True)
class _Sent:
    """What became of the manifests that were due.

    Attributes:
        objects: as the server returned them.
        found: one was there that was thought absent; nothing was sent after it.
        refused: what the server said to the one after which nothing was sent.
    """

    objects: list[Resource]
    found: bool
    refused: str


@dataclass(frozen=True)
class Reconciler:
    """Brings runs one step further.

    Attributes:
        cluster: where they live.
        settings: of this installation.
        now: the clock.
    """

    cluster: Cluster
    settings: Settings
    now: Callable[[], datetime]

    async def reconcile(self, namespace: str, name: str) -> float | None:
        """One pass over one run.

        Returns:
            Seconds until the next pass is due by itself; None: only when something happens.

        Raises:
            ClusterError: the server refused or was not there; the pass is to be repeated.
        """
        resource = await self.cluster.get(TRAINING, namespace, name)
        if resource is None or resource["metadata"].get("deletionTimestamp"):
            return None
        run = Run.of(resource)
        previous, _ = read_status(resource)
        plan, violations = self._plan(resource)
        seen = None
        if plan is not None and previous == Status():
            seen = await self._begin(run, plan)
        if seen is None:
            seen = await self._go_on(run, previous, plan)
        try:
            return await self._conclude(resource, run, previous, plan, violations, seen)
        except NotFound:
            return None  # deleted meanwhile

    async def _begin(self, run: Run, plan: Plan) -> Observed | None:
        """Create the first children unread: nobody has judged this run yet, so none is there.

        None where one is all the same: of a pass that died, of an earlier run, of somebody else.
        """
        sent = await self._send(due(plan, Status(), Observed()), Snapshot())
        if sent.found:
            return None
        return replace(observe(run, Snapshot().with_applied(sent.objects)), refused=sent.refused)

    async def _go_on(self, run: Run, previous: Status, plan: Plan | None) -> Observed:
        """Read, and send what is due and absent."""
        snapshot = await self._gather(run, previous, plan)
        seen = observe(run, snapshot)
        if plan is None or not (manifests := due(plan, previous, seen)):
            return seen
        sent = await self._send(manifests, snapshot)
        return replace(observe(run, snapshot.with_applied(sent.objects)), refused=sent.refused)

    async def _send(self, manifests: Iterable[Manifest], snapshot: Snapshot) -> _Sent:
        """Send in order, up to the first that the cluster will not have.

        A child is created and never changed. The ConfigMap alone is applied where it is there:
        the workload that comes after it reads what was planned for it.
        """
        objects: list[Resource] = []
        for manifest in manifests:
            is_there = manifest["kind"] == CONFIG_MAP.kind and snapshot.config is not None
            try:
                made = await (self.cluster.apply if is_there else self.cluster.create)(manifest)
            except (Forbidden, NotFound, Refused) as error:
                return _Sent(objects, found=False, refused=str(error))
            if made is not None:
                objects.append(made)
            elif manifest["kind"] != CLAIM.kind or LABEL_RUN in manifest["metadata"]["labels"]:
                # Not so the shared cache; the run's own claim may be an earlier run's, and going.
                return _Sent(objects, found=True, refused="")
        return _Sent(objects, found=False, refused="")

    async def _conclude(
        self,
        resource: Resource,
        run: Run,
        previous: Status,
        plan: Plan | None,
        violations: tuple[Violation, ...],
        seen: Observed,
    ) -> float | None:
        """Judge, and write what is new: events first, so that none is lost by dying here."""
        now = self.now()
        status = judge(run, previous, plan, violations, seen, now)
        if status != previous:
            for event in transitions.events(run, previous, status, now):
                await self.cluster.create(event)
            await self.cluster.patch_status(resource, status_json(status))
        return requeue_after(status, seen, self.settings, now)

    def _plan(self, resource: Resource) -> tuple[Plan | None, tuple[Violation, ...]]:
        try:
            return make_plan(parse(resource), self.settings), ()
        except InvalidSpec as error:
            return None, error.violations

    async def _gather(self, run: Run, previous: Status, plan: Plan | None) -> Snapshot:
        if conditions.is_finished(previous):
            return Snapshot()
        return await gather(
            self.cluster,
            run,
            attempt=present_attempt(previous),
            prepared=conditions.is_true(previous, CONDITION_PREPARED),
            claims=(plan.cache_claim.name, plan.output_claim.name) if plan else (),
            now=self.now(),
        )


def status_json(status: Status) -> dict[str, Any]:
    """A status as the API server takes it, without the fields that have no value."""
    return status.model_dump(mode="json", by_alias=True, exclude_none=True)
