"""Gather: read what matters of one run from the cluster, into a snapshot. Needs the cluster.

Children have names that follow from the run's, so almost every reading is a `get`; nothing is
read that the run's present stage does not need.
"""

import asyncio
import logging
from collections.abc import Iterable
from datetime import datetime, timedelta

from qinstruct_operator.cluster.errors import ClusterError
from qinstruct_operator.cluster.port import Cluster, Resource
from qinstruct_operator.constants import LABEL_RUN, PREP_CONTAINER, TRAINING_CONTAINER
from qinstruct_operator.core import names
from qinstruct_operator.core.judge.observe import Run, Snapshot, newest_pod, read_pod
from qinstruct_operator.core.raw import Raw, conditions_of, moment, text
from qinstruct_operator.kinds import CLAIM, CONFIG_MAP, EVENT, JOB, POD, PYTORCHJOB

_logger = logging.getLogger(__name__)
_LOG_LINES = 200  # several minutes of training, and the whole of a failure
# Warning events explain a wait; listing them is dear (they have no cache in the API server), so
# a child gets a moment to start without.
_PATIENCE = timedelta(seconds=3)


async def gather(
    cluster: Cluster,
    run: Run,
    *,
    attempt: int,
    prepared: bool,
    claims: Iterable[str],
    now: datetime,
) -> Snapshot:
    """Read a run's children.

    Args:
        cluster: where to read.
        run: whose children.
        attempt: the present attempt.
        prepared: the status says so already: the prep Job is then of no interest.
        claims: names of the run's claims.
        now: the present.
    """
    prep = training = None
    if not prepared:
        prep = await cluster.get(JOB, run.namespace, names.prep_name(run.name))
    # Without prep Job and status, as after a restored backup, a PyTorchJob may be at work.
    may_train = prepared or prep is None or _is_complete(prep)
    if may_train:
        name = names.training_name(run.name, attempt)
        training = await cluster.get(PYTORCHJOB, run.namespace, name)
    workload = training if may_train else prep
    pods: tuple[Resource, ...] = ()
    if workload is not None:
        pods = await cluster.list(POD, run.namespace, labels={LABEL_RUN: run.name})
        pod = newest_pod(workload, pods)
        if pod is not None and read_pod(pod).has_started:
            container = TRAINING_CONTAINER if workload is training else PREP_CONTAINER
            log = await _log(cluster, run, pod["metadata"]["name"], container)
            return Snapshot(prep=prep, training=training, pods=pods, log=log)
    config, found = await _support(cluster, run, tuple(claims))
    events: tuple[Resource, ...] = ()
    if workload is not None and _age(workload, now) > _PATIENCE:
        events = await _events(cluster, run, _held_up(workload, pods, found.values()))
    return Snapshot(config, prep, training, found, pods, events)


async def _log(cluster: Cluster, run: Run, pod: str, container: str) -> tuple[str, ...]:
    """The end of a log; none where its node does not give it, which must not stop the pass."""
    try:
        return await cluster.read_log(run.namespace, pod, container, tail_lines=_LOG_LINES)
    except ClusterError as error:
        _logger.warning("%s", error)
        return ()


async def _support(
    cluster: Cluster, run: Run, claims: tuple[str, ...]
) -> tuple[Resource | None, dict[str, Resource | None]]:
    """The ConfigMap and the claims: of interest until the pod that mounts them has started."""
    config, *found = await asyncio.gather(
        cluster.get(CONFIG_MAP, run.namespace, names.config_name(run.name)),
        *(cluster.get(CLAIM, run.namespace, name) for name in claims),
    )
    return config, dict(zip(claims, found, strict=True))


def _held_up(workload: Raw, pods: tuple[Resource, ...], claims: Iterable[Raw | None]) -> list[Raw]:
    """The objects whose events say why a workload's container does not start."""
    pod = newest_pod(workload, pods)
    if pod is None:
        return [workload]
    if text(pod, "spec", "nodeName"):
        return [pod]
    return [raw for raw in claims if raw and text(raw, "status", "phase") == "Pending"]


async def _events(cluster: Cluster, run: Run, about: list[Raw]) -> tuple[Resource, ...]:
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


def _is_complete(job: Raw) -> bool:
    return text(conditions_of(job), "Complete", "status") == "True"


def _age(raw: Raw, now: datetime) -> timedelta:
    return now - (moment(text(raw, "metadata", "creationTimestamp")) or now)
