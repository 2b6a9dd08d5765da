"""Gather: read one run's children from the cluster, into a snapshot. Needs the cluster.

Children's names follow from the run's, so almost every request is a `get`. Only what the run's
current stage needs is read, and always its pods: one can outlive its workload.
"""

import asyncio
import functools
from collections.abc import Awaitable, Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TypeVar

from qinstruct_operator.api.status import MAX_ATTEMPT
from qinstruct_operator.cluster.errors import ClusterError, Forbidden, UnknownKind
from qinstruct_operator.cluster.port import Cluster, Resource
from qinstruct_operator.constants import LABEL_RUN, PREP_CONTAINER
from qinstruct_operator.core import names
from qinstruct_operator.core.backends import Backend
from qinstruct_operator.core.children import ChildId
from qinstruct_operator.core.judge.made_from import attempt_of, generation_of
from qinstruct_operator.core.judge.observe import Part, Snapshot, last_attempt
from qinstruct_operator.core.judge.pods import newest_pod, read_pod
from qinstruct_operator.core.judge.trouble import is_doubtful
from qinstruct_operator.core.judge.workloads import (
    JOB_CONDITIONS,
    has_failed_verdict,
    read_workload,
)
from qinstruct_operator.core.pin import read_pin
from qinstruct_operator.core.run import Run, claim_ids
from qinstruct_operator.core.times import parse_time
from qinstruct_operator.core.untyped_json import Raw, is_controlled_by, text
from qinstruct_operator.kinds import CLAIM, CONFIG_MAP, EVENT, JOB, NODE, POD

T = TypeVar("T")

_Found = tuple[Resource | None, Resource | None]

_LOG_LINES = 200  # several minutes of training, or a complete failure
# Warning events explain a wait, but listing them is expensive (the API server has no cache of
# them), so they are read only for a child that has not started by then.
_PATIENCE = timedelta(seconds=3)


class Reads:
    """The reads of one pass. One that fails is noted, and stops nothing.

    Attributes:
        failures: the first error of each part that could not be read.
    """

    def __init__(self) -> None:
        self.failures: dict[Part, ClusterError] = {}

    async def of(self, part: Part, request: Awaitable[T], otherwise: T) -> T:
        """What a request answers; what is given where it fails."""
        try:
            return await request
        except ClusterError as error:
            self.failures.setdefault(part, error)
            return otherwise


async def gather(cluster: Cluster, run: Run, now: datetime, reads: Reads) -> Snapshot:
    """Read a run's children; none of a run that has ended.

    Without the workload its pods cannot be told, and without its pods what would say why it waits:
    after a read that failed those that need it are left out.
    """
    if run.is_finished:
        return Snapshot()
    snapshot = await _read(cluster, run, now, reads)
    unread = {part: _said(part, error, run.backend) for part, error in reads.failures.items()}
    return replace(snapshot, unread=unread)


def _said(part: Part, error: ClusterError, backend: Backend) -> str:
    """What a condition says of it; a cluster may never have had the workload's kind."""
    if part == "training" and isinstance(error, UnknownKind):
        return f"{error} Install {backend.conditions.controller}: {backend.install}"
    return str(error)


async def _read(cluster: Cluster, run: Run, now: datetime, reads: Reads) -> Snapshot:
    pods = await reads.of("pods", list_pods(cluster, run), ())
    prep, (training, in_the_way) = await _workloads(cluster, run, reads, pods)
    snapshot = await _rest(cluster, run, now, reads, Snapshot(prep, training, pods=pods))
    return replace(snapshot, in_the_way=in_the_way)


async def _rest(
    cluster: Cluster, run: Run, now: datetime, reads: Reads, found: Snapshot
) -> Snapshot:
    """What else is to be read, by the workloads and pods that were found."""
    prep, training, pods = found.prep, found.training, found.pods
    may_train = _may_train(prep)
    workload = training if may_train else prep
    if reads.failures and (workload is None or "pods" in reads.failures):
        return found
    pod: Raw | None = None
    if workload is not None:
        pod = newest_pod(workload, pods)
        types = run.backend.conditions if may_train else JOB_CONDITIONS
        # One that was suspended meanwhile is history: what its next pod needs is to be read.
        read = read_workload(workload, types, pods).pod
        if pod is not None and read is not None and read.has_started:
            container = run.backend.container if may_train else PREP_CONTAINER
            request_log = cluster.read_log(
                run.namespace, pod["metadata"]["name"], container, tail_lines=_LOG_LINES
            )
            log = await reads.of("log", request_log, ())
            node = await _node(cluster, reads, pod) if is_doubtful(read, log, now) else None
            # After a failed attempt another one may be due, as if there had been none.
            is_lost = may_train and has_failed_verdict(workload, types)
            need = await (
                _support(cluster, run, reads) if is_lost else _pin(cluster, run, reads, workload)
            )
            # A Job that makes another pod may be refused it.
            is_retried = read.has_failed and not may_train
            refusals = await _events(cluster, run, reads, [workload]) if is_retried else ()
            return Snapshot(prep, training, need, pods, refusals, log, node=node)
    support = await _support(cluster, run, reads)
    if workload is None:
        old_nodes = await _old_nodes(cluster, reads, pods)
        return Snapshot(prep, training, support, pods, old_nodes=old_nodes)
    events: tuple[Resource, ...] = ()
    if not _is_new(workload, now):
        events = await _events(cluster, run, reads, _held_up(workload, pods, support))
    node = await _node(cluster, reads, pod) if pod is not None else None
    return Snapshot(prep, training, support, pods, events, node=node)


async def _workloads(
    cluster: Cluster, run: Run, reads: Reads, pods: Sequence[Raw]
) -> tuple[Resource | None, _Found]:
    """The prep Job, as long as that counts, and the training workloads."""
    get_prep = functools.partial(cluster.get, JOB, run.namespace, names.prep_name(run.name))
    prep = None if run.was_prepared else await reads.of("prep", get_prep(), None)
    if not _may_train(prep):
        return prep, (None, None)
    training, in_the_way = await _attempts(cluster, run, reads, last_attempt(run, pods))
    if run.was_prepared and training is None and not reads.failures:
        # Before training is made a status is not taken at its word.
        prep = await reads.of("prep", get_prep(), None)
    return prep, (training, in_the_way)


async def _attempts(cluster: Cluster, run: Run, reads: Reads, last: int) -> _Found:
    """The training workload of the run's last attempt, and what is in the next one's way.

    One that is under way is the newest, whatever the status says: the next is made only after it
    has failed. `last` is the last attempt that status and pods tell of, 0 where of none.
    """
    training = await reads.of("training", get_attempt(cluster, run, run.attempt), None)
    is_known = training is not None and not _is_failed(run, training)
    if is_known or "training" in reads.failures or (training is None and reads.failures):
        return training, None
    newest = await _newest(cluster, run, reads, training, last)
    if newest is None and not (run.is_pinned or last):
        return None, None
    if newest is not None and not _is_failed(run, newest):
        return newest, None
    # The next name may be somebody else's, who need not have our label.
    due = min(max(_number(run, newest), last) + 1, MAX_ATTEMPT)
    to_come = await reads.of("training", get_attempt(cluster, run, due), None)
    if to_come and is_controlled_by(to_come, run.uid):
        return to_come, None
    return newest, to_come


async def _newest(
    cluster: Cluster, run: Run, reads: Reads, known: Resource | None, last: int
) -> Resource | None:
    """The newest workload; none where that of the last attempt is gone: it is not made again."""
    labels = {LABEL_RUN: run.name}
    listed = await reads.of(
        "training", cluster.list(run.backend.kind, run.namespace, labels=labels), ()
    )
    found = [*listed, *([known] if known else [])]  # whoever has taken its label away
    newest = max(
        found,
        key=lambda raw: (is_controlled_by(raw, run.uid), attempt_of(raw) or 0),
        default=None,
    )
    if _number(run, newest) >= last or (newest and not _is_failed(run, newest)):
        return newest
    latest = await reads.of("training", get_attempt(cluster, run, last), None)
    return latest if latest and is_controlled_by(latest, run.uid) else None


def _number(run: Run, training: Raw | None) -> int:
    """Which attempt a workload is; without one, or where it does not say, as the status does."""
    return (training and attempt_of(training)) or run.attempt


def _is_failed(run: Run, training: Raw) -> bool:
    """Whether a workload is the run's own, and has failed."""
    types = run.backend.conditions
    return is_controlled_by(training, run.uid) and has_failed_verdict(training, types)


def _may_train(prep: Raw | None) -> bool:
    """Whether training may be there: without a prep Job as well, as after a restored backup."""
    return prep is None or read_workload(prep, JOB_CONDITIONS).verdict == "succeeded"


async def list_pods(cluster: Cluster, run: Run) -> tuple[Resource, ...]:
    """Every pod with the run's label, also those of workloads that are gone."""
    return await cluster.list(POD, run.namespace, labels={LABEL_RUN: run.name})


async def get_attempt(cluster: Cluster, run: Run, attempt: int) -> Resource | None:
    """The training workload of an attempt."""
    name = names.training_name(run.name, attempt)
    return await cluster.get(run.backend.kind, run.namespace, name)


async def _node(cluster: Cluster, reads: Reads, pod: Raw) -> tuple[Raw, ...] | None:
    """The node that the pod is on, none where it is gone; None where nobody says it.

    The right to read nodes is the cluster's to give: without it the pod has to do.
    """
    name = text(pod, "spec", "nodeName")
    if not name or read_pod(pod).is_over:
        return None

    async def read() -> tuple[Raw, ...] | None:
        try:
            node = await cluster.get(NODE, None, name)
        except Forbidden:
            return None
        return (node,) if node else ()

    return await reads.of("node", read(), None)


async def _old_nodes(cluster: Cluster, reads: Reads, pods: Iterable[Raw]) -> dict[str, Raw | None]:
    """The nodes of pods that are there without their workload, each once."""
    by_node = {text(pod, "spec", "nodeName"): pod for pod in pods if not read_pod(pod).is_over}
    found = {name: await _node(cluster, reads, pod) for name, pod in by_node.items()}
    return {name: node[0] if node else None for name, node in found.items() if node is not None}


async def _support(cluster: Cluster, run: Run, reads: Reads) -> dict[ChildId, Raw | None]:
    """What workloads need first, the user's own claims included."""
    found = await _all(cluster, run, reads, run.support_ids)
    config = found[CONFIG_MAP, names.config_name(run.name)]
    # What trains may have been planned by a version that did not refuse its spec.
    if (
        run.is_pinned
        and not run.plan
        and config
        and (pin := read_pin(config))
        and (plan := run.plan_from(pin))
    ):
        found |= await _all(cluster, run, reads, claim_ids(plan))
    return found


async def _all(
    cluster: Cluster, run: Run, reads: Reads, ids: Sequence[ChildId]
) -> dict[ChildId, Raw | None]:
    requests = (cluster.get(kind, run.namespace, name) for kind, name in ids)
    found = await asyncio.gather(*(reads.of("support", each, None) for each in requests))
    return dict(zip(ids, found, strict=True))


async def _pin(
    cluster: Cluster, run: Run, reads: Reads, workload: Raw
) -> dict[ChildId, Raw | None]:
    """The ConfigMap, if the spec was changed after a workload had been made from it."""
    if generation_of(workload) in (None, run.generation):
        return {}
    name = names.config_name(run.name)
    request = cluster.get(CONFIG_MAP, run.namespace, name)
    return {(CONFIG_MAP, name): await reads.of("support", request, None)}


def _held_up(workload: Raw, pods: Sequence[Raw], support: dict[ChildId, Raw | None]) -> list[Raw]:
    """The objects whose events say why a workload's container does not start."""
    pod = newest_pod(workload, pods)
    if pod is None:
        return [workload]
    if text(pod, "spec", "nodeName"):
        return [pod]
    claims = (raw for (kind, _), raw in support.items() if kind == CLAIM)
    return [raw for raw in claims if raw and text(raw, "status", "phase") == "Pending"]


async def _events(
    cluster: Cluster, run: Run, reads: Reads, about: Iterable[Raw]
) -> tuple[Resource, ...]:
    """Warning events about some objects; every event about a pod that its kubelet starts."""

    def events_of(raw: Raw) -> Awaitable[tuple[Resource, ...]]:
        fields = {"involvedObject.uid": raw["metadata"]["uid"]}
        if not text(raw, "spec", "nodeName"):
            fields["type"] = "Warning"
        return cluster.list(EVENT, run.namespace, fields=fields)

    lists = await asyncio.gather(*(reads.of("events", events_of(raw), ()) for raw in about))
    return tuple(event for events in lists for event in events)


def _is_new(raw: Raw, now: datetime) -> bool:
    """Whether it was just made; what was made in the future was made by another clock."""
    age = now - (parse_time(text(raw, "metadata", "creationTimestamp")) or now)
    return timedelta() <= age <= _PATIENCE
