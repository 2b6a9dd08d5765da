"""`qinstruct status`: show the runs of a cluster, and with --watch repeat it until they end."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from qinstruct_operator.api.status import Status
from qinstruct_operator.cli.cluster.connection import (
    explain,
    is_transient,
    open_connection,
)
from qinstruct_operator.cli.cluster.runs import read_detail, read_run, read_runs
from qinstruct_operator.cli.cluster.show_status import (
    run_detail,
    runs_table,
    summary_line,
)
from qinstruct_operator.cli.terminal import sanitize
from qinstruct_operator.cluster.errors import ClusterError
from qinstruct_operator.cluster.port import Cluster
from qinstruct_operator.constants import CONDITION_ACCEPTED, CONDITION_FAILED
from qinstruct_operator.core.condition_list import find_condition, is_finished, is_true
from qinstruct_trainer.contract.errors import (
    EXIT_CONFIG,
    EXIT_OK,
    EXIT_SOFTWARE,
)

WATCH_SECONDS = 2.0
"""Between two readings: a run's progress changes every few seconds."""


@dataclass(frozen=True)
class Frame:
    """What one reading of the cluster puts on the screen.

    Attributes:
        lines: the same in a line a run, for output that is no terminal.
        is_over: nothing will change any more unless a person changes it.
    """

    drawn: RenderableType
    lines: tuple[str, ...]
    is_over: bool
    exit_code: int


ReadFrame = Callable[[], Awaitable[Frame]]


async def run_status(
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
    async with open_connection(context) as connection:
        cluster, where = connection.cluster, namespace or connection.namespace

        async def read() -> Frame:
            if name is None:
                return await _read_all(cluster, None if all_namespaces else where)
            return await _read_one(cluster, where, name, bar=console.is_terminal)

        return await (_watch(console, read) if watch else _show(console, read))


def exit_code(status: Status) -> int:
    """0 as long as nothing is wrong, else as `qinstruct run` ends."""
    if is_true(status, CONDITION_FAILED):
        return EXIT_SOFTWARE
    return EXIT_CONFIG if _is_refused(status) else EXIT_OK


def _is_refused(status: Status) -> bool:
    accepted = find_condition(status, CONDITION_ACCEPTED)
    return accepted is not None and accepted.status == "False"


def _is_over(status: Status) -> bool:
    return is_finished(status) or _is_refused(status)


async def _read_all(cluster: Cluster, namespace: str | None) -> Frame:
    runs = await read_runs(cluster, namespace)
    where = "any namespace" if namespace is None else f"namespace {sanitize(namespace)}"
    nothing = Text(f"no runs in {where}; `qinstruct status -A` lists those of all namespaces")
    return Frame(
        drawn=runs_table(runs, _now(), namespaces=namespace is None) if runs else nothing,
        lines=tuple(summary_line(run) for run in runs),
        is_over=all(_is_over(run.status) for run in runs),
        exit_code=EXIT_OK,
    )


async def _read_one(cluster: Cluster, namespace: str, name: str, *, bar: bool) -> Frame:
    run = await read_run(cluster, namespace, name)
    detail = await read_detail(cluster, run)
    return Frame(
        drawn=run_detail(detail, _now(), bar=bar),
        lines=(summary_line(run),),
        is_over=_is_over(run.status),
        exit_code=exit_code(run.status),
    )


async def _show(console: Console, read: ReadFrame) -> int:
    frame = await read()
    console.print(frame.drawn)
    return frame.exit_code


async def _watch(console: Console, read: ReadFrame) -> int:
    """Read again and again until nothing will change."""
    frame = await read()
    if console.is_terminal:
        with Live(console=console, auto_refresh=False, transient=True) as live:
            while not frame.is_over:
                live.update(frame.drawn, refresh=True)
                frame = await _read_later(read, frame)
        console.print(frame.drawn)
        return frame.exit_code
    printed: tuple[str, ...] = ()
    while True:
        for text in frame.lines:
            if text not in printed:
                console.print(Text(text), soft_wrap=True)
        if frame.is_over:
            console.print(frame.drawn)
            return frame.exit_code
        printed = frame.lines
        frame = await _read_later(read, frame)


async def _read_later(read: ReadFrame, before: Frame) -> Frame:
    """The next frame; after an error that may pass, the last one with a note."""
    await asyncio.sleep(WATCH_SECONDS)
    try:
        return await read()
    except ClusterError as error:
        if not is_transient(error):
            raise
        note = f"note: {explain(error)}; trying again"
        return replace(before, drawn=Group(before.drawn, Text(f"\n{note}", style="yellow")))


def _now() -> datetime:
    return datetime.now(UTC)
