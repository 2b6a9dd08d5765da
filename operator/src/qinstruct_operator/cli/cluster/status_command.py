"""`qinstruct status`: read runs of a cluster, show them, and if asked look again until they end.

Needs the cluster.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from qinstruct_operator.api.parse import parse
from qinstruct_operator.api.status import Status
from qinstruct_operator.cli.cluster.connection import is_passing, open_door, refusal
from qinstruct_operator.cli.cluster.runs import SeenRun, text_at
from qinstruct_operator.cli.cluster.show_status import Detail, line, run_detail, runs_table
from qinstruct_operator.cli.terminal import harmless
from qinstruct_operator.cluster.errors import ClusterError, NotFound
from qinstruct_operator.cluster.port import Cluster, Resource
from qinstruct_operator.constants import CONDITION_ACCEPTED, CONDITION_FAILED, KIND
from qinstruct_operator.core.condition_list import find_condition, is_finished, is_true
from qinstruct_operator.core.plan.make import make_plan
from qinstruct_operator.errors import InvalidSpec
from qinstruct_operator.kinds import CLAIM, EVENT, TRAINING
from qinstruct_operator.settings import Settings
from qinstruct_trainer.contract.errors import (
    EXIT_CONFIG,
    EXIT_OK,
    EXIT_SOFTWARE,
    UnavailableError,
)

WATCH_SECONDS = 2.0
"""Between two looks: a run's progress changes every few seconds."""


@dataclass(frozen=True)
class Frame:
    """What one look at the cluster gave.

    Attributes:
        lines: the same in a line a run, for output that is no terminal.
        is_over: nothing will change any more without a person.
    """

    drawn: RenderableType
    lines: tuple[str, ...]
    is_over: bool
    exit_code: int


Look = Callable[[], Awaitable[Frame]]


async def show_status(
    console: Console,
    name: str | None,
    *,
    namespace: str | None,
    all_namespaces: bool,
    context: str | None,
    watch: bool,
) -> int:
    """Show one run, or all; returns the exit code.

    Raises:
        RunError: no such run, or the cluster cannot be asked.
    """
    async with open_door(context) as door:
        where = namespace or door.namespace

        async def look() -> Frame:
            if name is None:
                return await _look_at_all(door.cluster, None if all_namespaces else where)
            return await _look_at_one(door.cluster, where, name, bar=console.is_terminal)

        return await (_watch(console, look) if watch else _show(console, look))


async def read_run(cluster: Cluster, namespace: str, name: str) -> SeenRun:
    """One run.

    Raises:
        UnavailableError: it is not there.
    """
    raw = await cluster.get(TRAINING, namespace, name)
    if raw is None:
        raise UnavailableError(
            f"run {harmless(name)} is not in namespace {harmless(namespace)}; "
            "`qinstruct status -A` lists all"
        )
    return SeenRun.of(raw)


def exit_code(status: Status) -> int:
    """0 as long as nothing is wrong, else as `qinstruct run` ends."""
    if is_true(status, CONDITION_FAILED):
        return EXIT_SOFTWARE
    return EXIT_CONFIG if _is_refused(status) else EXIT_OK


def _is_refused(status: Status) -> bool:
    accepted = find_condition(status, CONDITION_ACCEPTED)
    return accepted is not None and accepted.status == "False"


async def _look_at_all(cluster: Cluster, namespace: str | None) -> Frame:
    try:
        found = await cluster.list(TRAINING, namespace)
    except NotFound as error:
        raise UnavailableError(
            f"this cluster knows no {KIND}; `qinstruct crd | kubectl apply -f -` and the operator "
            "teach it"
        ) from error
    runs = [SeenRun.of(raw) for raw in found]
    where = "any namespace" if namespace is None else f"namespace {harmless(namespace)}"
    nothing = Text(f"no runs in {where}; `qinstruct status -A` lists those of all namespaces")
    return Frame(
        drawn=runs_table(runs, _now(), namespaces=namespace is None) if runs else nothing,
        lines=tuple(line(run) for run in runs),
        is_over=all(_is_over(run.status) for run in runs),
        exit_code=EXIT_OK,
    )


async def _look_at_one(cluster: Cluster, namespace: str, name: str, *, bar: bool) -> Frame:
    run = await read_run(cluster, namespace, name)
    detail = await _read_detail(cluster, run)
    return Frame(
        drawn=run_detail(detail, _now(), bar=bar),
        lines=(line(run),),
        is_over=_is_over(run.status),
        exit_code=exit_code(run.status),
    )


def _is_over(status: Status) -> bool:
    return is_finished(status) or _is_refused(status)


async def _read_detail(cluster: Cluster, run: SeenRun) -> Detail:
    """The run with its claims and events, or notes where they may not be read."""
    notes = [f"{part} cannot be read by this version" for part in run.unreadable]
    claims: dict[str, str] = {}
    events: tuple[Resource, ...] = ()
    try:
        for name in _claim_names(run):
            claim = await cluster.get(CLAIM, run.namespace, name)
            claims[name] = "not there" if claim is None else text_at(claim, "status", "phase")
        about = {"involvedObject.kind": KIND, "involvedObject.name": run.name}
        events = await cluster.list(EVENT, run.namespace, fields=about)
    except ClusterError as error:
        notes.append(refusal(error))
    return Detail(run, claims, events, notes)


def _claim_names(run: SeenRun) -> tuple[str, ...]:
    """Names of the run's claims; none where its spec is not one of this version."""
    try:
        document = {key: value for key, value in run.raw.items() if key != "status"}
        plan = make_plan(parse(document), Settings())
    except InvalidSpec:
        return ()
    return plan.cache_claim.name, plan.output_claim.name


async def _show(console: Console, look: Look) -> int:
    frame = await look()
    console.print(frame.drawn)
    return frame.exit_code


async def _watch(console: Console, look: Look) -> int:
    """Look again and again until nothing will change."""
    frame = await look()
    if console.is_terminal:
        with Live(console=console, auto_refresh=False, transient=True) as live:
            while not frame.is_over:
                live.update(frame.drawn, refresh=True)
                await asyncio.sleep(WATCH_SECONDS)
                frame = await _look_again(look, frame)
        console.print(frame.drawn)
        return frame.exit_code
    said: tuple[str, ...] = ()
    while True:
        for text in frame.lines:
            if text not in said:
                console.print(Text(text), soft_wrap=True)
        if frame.is_over:
            console.print(frame.drawn)
            return frame.exit_code
        said = frame.lines
        await asyncio.sleep(WATCH_SECONDS)
        frame = await _look_again(look, frame)


async def _look_again(look: Look, before: Frame) -> Frame:
    """The next frame; where the server is not well, the last one with a note."""
    try:
        return await look()
    except ClusterError as error:
        if not is_passing(error):
            raise
        note = f"note: {refusal(error)}; trying again"
        return replace(before, drawn=Group(before.drawn, Text(f"\n{note}", style="yellow")))


def _now() -> datetime:
    return datetime.now(UTC)
