"""Handlers: kopf's events become keys in the work queue, and nothing else. Needs the cluster.

    kopf run -m qinstruct_operator.handlers --all-namespaces

Every handler is an `on.event`: kopf then writes neither finalizers nor annotations, and its first
listing after a start resumes every run. See docs/adr/0008 for the figures. kopf's requests go
through our own client (`kopf_session`), and the runs are also listed at an interval (`run_list`).
"""

import asyncio
import logging
import os
import sys
from collections.abc import Iterable
from contextlib import AsyncExitStack
from typing import Any, Final, cast

import aiohttp
import kopf

from qinstruct_operator.cluster.connect import connect
from qinstruct_operator.cluster.errors import ClusterError
from qinstruct_operator.constants import (
    FIELD_MANAGER,
    GROUP,
    LABEL_MANAGED_BY,
    LABEL_RUN,
)
from qinstruct_operator.core.backends import BACKENDS
from qinstruct_operator.errors import InvalidSpec
from qinstruct_operator.hearing import Hearing
from qinstruct_operator.kinds import JOB, POD, TRAINING, Kind
from qinstruct_operator.kopf_session import KopfSession
from qinstruct_operator.readiness import serve_readiness
from qinstruct_operator.reconcile import Reconciler, Told
from qinstruct_operator.run_list import Key, RunList
from qinstruct_operator.settings import Settings
from qinstruct_operator.workqueue import WorkQueue
from qinstruct_trainer.contract.errors import EXIT_CONFIG, ConfigError

_logger = logging.getLogger(__name__)
_MAX_TOLD = 5
_CHILDREN = (JOB, *(backend.kind for backend in BACKENDS.values()), POD)
_BACKOFF_SECONDS: Final = 20.0  # so that a run is looked at soon after the server is back
_REQUEST_SECONDS: Final = 20.0  # a silent connection is given up, and the run tried again


@kopf.on.startup()
async def start(settings: kopf.OperatorSettings, memo: kopf.Memo, **_: Any) -> None:
    """Configure kopf, connect, and start the queue."""
    configure(settings)
    memo.stack = AsyncExitStack()
    try:
        await _start(memo)
    except (InvalidSpec, ConfigError) as error:
        # No retry helps here, and kopf would hide the sentence in a traceback.
        _logger.critical("%s", error)
        sys.exit(EXIT_CONFIG)


async def _start(memo: kopf.Memo) -> None:
    ours = Settings.from_env(os.environ)
    cluster = await memo.stack.enter_async_context(connect(timeout=_REQUEST_SECONDS))
    reconciler = Reconciler(cluster, ours, cluster.transport.clock.now)

    async def reconcile(key: Key) -> float | None:
        return await reconciler.reconcile(*key)

    memo.queue = WorkQueue(
        reconcile, workers=ours.workers, max_backoff=_BACKOFF_SECONDS, tenant=lambda key: key[0]
    )
    memo.server, memo.hearing = cluster.server, Hearing()
    memo.session = KopfSession(cluster.transport, memo.hearing, (TRAINING, *_CHILDREN))
    memo.runs = RunList(
        cluster.transport, memo.hearing, lambda: memo.session.namespaces, memo.queue.add
    )
    memo.tasks = (
        asyncio.create_task(memo.queue.run(), name="work queue"),
        asyncio.create_task(memo.runs.run(ours.list_seconds), name="list of runs"),
    )

    def why_not_ready() -> list[str]:
        return why_unhealthy(memo.tasks, memo.hearing) + unwritten(memo.queue.troubles.values())

    await memo.stack.enter_async_context(serve_readiness(ours.ready_address, why_not_ready))


@kopf.on.cleanup()
async def stop(memo: kopf.Memo, **_: Any) -> None:
    """Stop the queue and close the connections."""
    for task in memo.tasks:
        task.cancel()
    await asyncio.wait(memo.tasks)
    await memo.stack.aclose()


@kopf.on.login()
def login(memo: kopf.Memo, **_: Any) -> kopf.AiohttpSession:
    """Our own client's server and credentials, in the shape that kopf takes."""
    session = cast("aiohttp.ClientSession", memo.session)  # as much of one as kopf uses
    return kopf.AiohttpSession(server=memo.server, aiohttp_session=session)


@kopf.on.probe(id="queue")
async def probe(memo: kopf.Memo, **_: Any) -> int:
    """Runs that wait for a pass; the liveness endpoint fails when this one does."""
    if reasons := why_unhealthy(memo.tasks, memo.hearing):
        raise kopf.PermanentError("; ".join(reasons))
    return len(memo.queue)


def why_unhealthy(tasks: Iterable[asyncio.Task[None]], hearing: Hearing) -> list[str]:
    """Why a restart may help: nothing was heard of the runs for a minute, or a task has ended."""
    reasons = [f"task {task.get_name()} has ended: {task}" for task in tasks if task.done()]
    if hearing.is_deaf():
        reasons.append("no list and no watch of the runs succeeds")
    return reasons


def unwritten(troubles: Iterable[ClusterError]) -> list[str]:
    """The errors that no run's status can tell, because it could not be read or written."""
    return sorted({str(error) for error in troubles if not isinstance(error, Told)})[:_MAX_TOLD]


@kopf.on.event(TRAINING.group, TRAINING.version, TRAINING.plural)
async def run_changed(
    event: kopf.RawEvent, namespace: str | None, name: str, memo: kopf.Memo, **_: Any
) -> None:
    """A run was created or changed, or the operator has just started."""
    memo.runs.tell(event["object"]["metadata"])
    if namespace and is_change(event):
        memo.queue.add((namespace, name))


def is_change(event: kopf.RawEvent) -> bool:
    """Whether a run needs a pass; not after a write of its status, which is ours."""
    if event["type"] == "DELETED":
        return False
    run = event["object"]
    judged = (run.get("status") or {}).get("observedGeneration")
    return event["type"] != "MODIFIED" or judged != run["metadata"].get("generation")


async def child_changed(
    namespace: str | None, labels: kopf.Labels, memo: kopf.Memo, **_: Any
) -> None:
    """A child was created, changed or deleted: its run needs a pass."""
    run = labels.get(LABEL_RUN)
    if namespace and run:
        memo.queue.add((namespace, run))


for _child in _CHILDREN:
    kopf.on.event(_child.group, _child.version, _child.plural, id=_child.plural)(child_changed)


class _NoDiffBase(kopf.DiffBaseStorage):
    """No copy of an object to compare it with: we have no handlers of differences."""

    def build(self, **_: Any) -> kopf.BodyEssence:
        """Nothing; kopf's own copies every object, for each of its events."""
        return {}

    def fetch(self, **_: Any) -> kopf.BodyEssence | None:
        """None was stored."""
        return None

    def store(self, **_: Any) -> None:
        """Store nothing."""


def configure(settings: kopf.OperatorSettings) -> None:
    """Set kopf up, each with its reason; no `queueing.worker_limit`, which divides speed."""
    settings.persistence.finalizer = f"{GROUP}/kopf"  # in case kopf ever needs one
    settings.persistence.progress_storage = kopf.AnnotationsProgressStorage(prefix=GROUP)
    settings.persistence.diffbase_storage = _NoDiffBase()
    settings.peering.standalone = True
    settings.posting.enabled = False  # events are the reconciler's
    settings.scanning.disabled = True  # the kinds are known; see kopf_session
    # A watch is opened anew, from where it was, three times a minute: so a connection that has
    # died in silence costs 25 s. The server sends a bookmark before it ends one.
    settings.watching.server_timeout = 20
    settings.watching.client_timeout = 25  # a little more: later it is silent
    settings.watching.chunk_size = 500  # a first listing of thousands comes in pages
    settings.queueing.idle_timeout = 0.5  # our handlers end at once, so may kopf's workers
    for chatty in ("kopf.objects", "aiohttp.access"):
        logging.getLogger(chatty).setLevel(logging.WARNING)  # a line an event, and a probe
    # A probe that fails is told once, by `Hearing`; kopf adds a traceback to each.
    for chatty in ("kopf.activities.probe", "aiohttp.server"):
        logging.getLogger(chatty).setLevel(logging.CRITICAL)
    settings.process.ultimate_exiting_timeout = 20  # below the pod's grace period
    for child in _CHILDREN:  # not every pod of the cluster in our memory
        selector = f"{LABEL_MANAGED_BY}={FIELD_MANAGER}"
        settings.watching.label_selectors[_selector(child)] = selector


def _selector(kind: Kind) -> tuple[str, str, str]:
    return (kind.group, kind.version, kind.plural)
