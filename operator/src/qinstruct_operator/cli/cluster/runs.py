"""Read QInstructTrainings of a cluster, and the claims and events of one. Lenient.

They may have been written by another version or by hand: what cannot be read is left out and
named, the rest is shown. All text is sanitized but the status's own.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Self

from qinstruct_operator.api.parse import parse
from qinstruct_operator.api.read_status import read_status
from qinstruct_operator.api.status import Status
from qinstruct_operator.cli.cluster.connection import explain
from qinstruct_operator.cli.terminal import sanitize, sanitized_text
from qinstruct_operator.cluster.errors import ClusterError, UnknownKind
from qinstruct_operator.cluster.port import Cluster
from qinstruct_operator.constants import KIND
from qinstruct_operator.core.plan.make import make_plan
from qinstruct_operator.core.times import parse_time
from qinstruct_operator.core.untyped_json import Raw
from qinstruct_operator.errors import InvalidSpec
from qinstruct_operator.kinds import CLAIM, EVENT, TRAINING
from qinstruct_operator.settings import Settings
from qinstruct_trainer.contract.errors import UnavailableError


@dataclass(frozen=True)
class ClusterRun:
    """One run as the API server returned it.

    Attributes:
        size, strategy: as the spec says them, empty where it does not.
        unreadable: parts of the status that this version cannot read.
    """

    namespace: str
    name: str
    size: str
    strategy: str
    created: datetime | None
    is_deleted: bool
    status: Status
    unreadable: tuple[str, ...]
    raw: Raw

    @classmethod
    def of(cls, raw: Raw) -> Self:
        """The run that an object stands for."""
        status, unreadable = read_status(raw)
        return cls(
            namespace=sanitized_text(raw, "metadata", "namespace"),
            name=sanitized_text(raw, "metadata", "name"),
            size=sanitized_text(raw, "spec", "size"),
            strategy=sanitized_text(raw, "spec", "strategy"),
            created=parse_time(sanitized_text(raw, "metadata", "creationTimestamp")),
            is_deleted=bool(sanitized_text(raw, "metadata", "deletionTimestamp")),
            status=status,
            unreadable=tuple(map(sanitize, unreadable)),
            raw=raw,
        )


@dataclass(frozen=True)
class RunDetail:
    """Everything known of one run.

    Attributes:
        claims: phase by name of the run's claims; empty where it cannot be read.
        events: about the run's own object.
        notes: what could not be read, a sentence each.
    """

    run: ClusterRun
    claims: Mapping[str, str]
    events: Sequence[Raw]
    notes: Sequence[str] = ()


async def read_runs(cluster: Cluster, namespace: str | None) -> tuple[ClusterRun, ...]:
    """All runs of a namespace; None: of all namespaces.

    Raises:
        UnavailableError: the cluster does not know the kind.
    """
    with _kind_is_known():
        found = await cluster.list(TRAINING, namespace)
    return tuple(ClusterRun.of(raw) for raw in found)


async def read_run(cluster: Cluster, namespace: str, name: str) -> ClusterRun:
    """One run.

    Raises:
        UnavailableError: it is not there, or the cluster does not know the kind.
    """
    with _kind_is_known():
        raw = await cluster.get(TRAINING, namespace, name)
    if raw is None:
        raise UnavailableError(
            f"run {sanitize(name)} is not in namespace {sanitize(namespace)}; "
            "`qinstruct status -A` lists all"
        )
    return ClusterRun.of(raw)


@contextmanager
def _kind_is_known() -> Iterator[None]:
    try:
        yield
    except UnknownKind as error:
        raise UnavailableError(
            f"this cluster knows no {KIND}; `qinstruct crd | kubectl apply -f -` and the operator "
            "teach it"
        ) from error


async def read_detail(cluster: Cluster, run: ClusterRun) -> RunDetail:
    """The run with its claims and events, or notes where they may not be read."""
    notes = [f"{part} cannot be read by this version" for part in run.unreadable]
    claims: dict[str, str] = {}
    events: Sequence[Raw] = ()
    try:
        for name in _claim_names(run):
            claim = await cluster.get(CLAIM, run.namespace, name)
            claims[name] = (
                "not there" if claim is None else sanitized_text(claim, "status", "phase")
            )
        about = {"involvedObject.kind": KIND, "involvedObject.name": run.name}
        events = await cluster.list(EVENT, run.namespace, fields=about)
    except ClusterError as error:
        notes.append(explain(error))
    return RunDetail(run, claims, events, notes)


def _claim_names(run: ClusterRun) -> tuple[str, ...]:
    """Names of the run's claims; none where its spec is not one of this version."""
    try:
        document = {key: value for key, value in run.raw.items() if key != "status"}
        plan = make_plan(parse(document), Settings())
    except InvalidSpec:
        return ()
    return plan.cache_claim.name, plan.output_claim.name
