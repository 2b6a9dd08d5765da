"""Gather: read one run's children from the cluster, into a snapshot. Needs the cluster.

Children's names follow from the run's, so almost every request is a `get`. Only what the run's
current stage needs is read, and always its pods: one can outlive its workload.
"""

import asyncio
import logging
from collections.abc import Iterable
from datetime import datetime, timedelta

from qinstruct_operator.cluster.errors import ClusterError
from qinstruct_operator.cluster.port import Cluster, Resource
from qinstruct_operator.constants import LABEL_RUN, PREP_CONTAINER
from qinstruct_operator.core import names
from qinstruct_operator.core.children import ChildId
from qinstruct_operator.core.judge.made_from import generation_of
from qinstruct_operator.core.judge.observe import Snapshot
from qinstruct_operator.core.judge.pods import newest_pod, read_pod
from qinstruct_operator.core.judge.workloads import JOB_CONDITIONS, read_workload
from qinstruct_operator.core.run import Run
from qinstruct_operator.core.times import parse_time
from qinstruct_operator.core.untyped_json import Raw, text
from qinstruct_operator.kinds import CLAIM, CONFIG_MAP, EVENT, JOB, POD

_logger = logging.getLogger(__name__)
_LOG_LINES = 200  # several minutes of training, or a complete failure
# Warning events explain a wait, but listing them is expensive (the API server has no cache of
# them), so they are read only for a child that has not started by then.
_PATIENCE = timedelta(seconds=3)


async def gather(cluster: Cluster, run: Run, now: datetime) -> Snapshot:
    """Read a run's children; none of a run that has ended."""
    if run.is_finished:
        return Snapshot()
    pods = await list_pods(cluster, run)
    prep = training = None
    if not run.was_prepared:
        prep = await cluster.get(JOB, run.namespace, names.prep_name(run.name))
    # Without prep Job and status, as after a restored backup, a training workload may be at work.
    may_train = run.was_prepared or prep is None or _has_succeeded(prep)
    if may_train:
        name = names.training_name(run.name, run.attempt)
        training = await cluster.get(run.backend.kind, run.namespace, name)
    workload = training if may_train else prep
    if workload is not None:
        pod = newest_pod(workload, pods)
        if pod is not None and read_pod(pod).has_started:
            container = run.backend.container if may_train else PREP_CONTAINER
            log = await _log(cluster, run, pod["metadata"]["name"], container)
            support = await _pin(cluster, run, workload)
            return Snapshot(prep=prep, training=training, support=support, pods=pods, log=log)
    support = await _support(cluster, run)
    events: tuple[Resource, ...] = ()
    if workload is not None and _age(workload, now) > _PATIENCE:
        events = await _events(cluster, run, _held_up(workload, pods, support))
    return Snapshot(prep, training, support, pods, events)


async def list_pods(cluster: Cluster, run: Run) -> tuple[Resource, ...]:
    """Every pod with the run's label, also those of workloads that are gone."""
    return await cluster.list(POD, run.namespace, labels={LABEL_RUN: run.name})


async def _log(cluster: Cluster, run: Run, pod: str, container: str) -> tuple[str, ...]:
    """The end of a log; empty where its node cannot be reached, which must not fail the pass."""
    try:
        return await cluster.read_log(run.namespace, pod, container, tail_lines=_LOG_LINES)
    except ClusterError as error:
        _logger.warning("%s", error)
        return ()


async def _support(cluster: Cluster, run: Run) -> dict[ChildId, Raw | None]:
    """What workloads need first, the user's own claims included."""
    found = await asyncio.gather(
        *(cluster.get(kind, run.namespace, name) for kind, name in run.support_ids)
    )
    return dict(zip(run.support_ids, found, strict=True))


async def _pin(cluster: Cluster, run: Run, workload: Raw) -> dict[ChildId, Raw | None]:
    """The ConfigMap, if the spec was changed after a workload had been made from it."""
    if generation_of(workload) in (None, run.generation):
        return {}
    name = names.config_name(run.name)
    return {(CONFIG_MAP, name): await cluster.get(CONFIG_MAP, run.namespace, name)}


def _held_up(
    workload: Raw, pods: tuple[Resource, ...], support: dict[ChildId, Raw | None]
) -> list[Raw]:
    """The objects whose events say why a workload's container does not start."""
    pod = newest_pod(workload, pods)
    if pod is None:
        return [workload]
    if text(pod, "spec", "nodeName"):
        return [pod]
    claims = (raw for (kind, _), raw in support.items() if kind == CLAIM)
    return [raw for raw in claims if raw and text(raw, "status", "phase") == "Pending"]


async def _events(cluster: Cluster, run: Run, about: Iterable[Raw]) -> tuple[Resource, ...]:
    """Warning events about some objects."""
    lists = await asyncio.gather(
        *(
            cluster.list(
                EVENT,
                run.namespace,
                fields={"involvedObject.uid": raw["metadata"]["uid"], "type": "Warning"},
            )
            for raw in about
        )
    )
    return tuple(event for events in lists for event in events)


def _has_succeeded(job: Raw) -> bool:
    return read_workload(job, JOB_CONDITIONS).verdict == "succeeded"


def _age(raw: Raw, now: datetime) -> timedelta:
    return now - (parse_time(text(raw, "metadata", "creationTimestamp")) or now)
