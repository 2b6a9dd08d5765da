"""Reconcile: the straight line for one run. Needs the cluster.

The only module that joins the pure core and the cluster. Whatever wakes it up, it reads the run
anew, so a lost, doubled or late event costs time and nothing else.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from qinstruct_operator.api.parse import parse, read_status
from qinstruct_operator.api.status import Status
from qinstruct_operator.cluster.kinds import TRAINING
from qinstruct_operator.cluster.port import Cluster, Resource
from qinstruct_operator.constants import CONDITION_PREPARED
from qinstruct_operator.core import conditions, transitions
from qinstruct_operator.core.build import Manifest
from qinstruct_operator.core.decide import due, requeue_after
from qinstruct_operator.core.observe import Observed, Run, Snapshot, observe
from qinstruct_operator.core.plan import Plan, make_plan
from qinstruct_operator.core.status import judge, present_attempt
from qinstruct_operator.errors import Forbidden, InvalidSpec, NotFound, Refused, Violation
from qinstruct_operator.gather import gather
from qinstruct_operator.settings import Settings


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
        run, previous = Run.of(resource), read_status(resource)
        plan, violations = self._plan(resource)
        snapshot = await self._gather(run, previous, plan)
        seen = observe(run, snapshot)
        if plan is not None and (manifests := due(plan, previous, seen)):
            applied, refused = await self._apply(manifests)
            seen = replace(observe(run, snapshot.with_applied(applied)), refused=refused)
        try:
            return await self._conclude(resource, run, previous, plan, violations, seen)
        except NotFound:
            return None  # deleted meanwhile

    async def _apply(self, manifests: Iterable[Manifest]) -> tuple[list[Resource], str]:
        """Apply in order up to the first that the cluster will not have; what it says then."""
        applied: list[Resource] = []
        for manifest in manifests:
            try:
                applied.append(await self.cluster.apply(manifest))
            except (Forbidden, NotFound, Refused) as error:
                return applied, str(error)
        return applied, ""

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
