"""`qinstruct logs`: the log of the pod that is, or was last, at work. Needs the cluster."""

import asyncio
import sys
from typing import BinaryIO, Protocol

from rich.console import Console

from qinstruct_operator.cli.cluster.connection import is_passing, open_door, refusal
from qinstruct_operator.cli.cluster.pods import (
    CONTAINERS,
    WORK,
    Choice,
    WorkPod,
    at_work,
    work_pods,
)
from qinstruct_operator.cli.cluster.runs import SeenRun
from qinstruct_operator.cli.cluster.status_command import read_run
from qinstruct_operator.cli.show_events import View, open_view
from qinstruct_operator.cli.terminal import harmless, harmless_event
from qinstruct_operator.cluster.port import Cluster
from qinstruct_operator.constants import LABEL_RUN
from qinstruct_operator.core.judge.conditions import is_finished
from qinstruct_operator.errors import ClusterError, NotFound, Refused
from qinstruct_operator.kinds import POD
from qinstruct_trainer.contract.errors import UnavailableError
from qinstruct_trainer.contract.events import Complete, Event, Failed, StoppedEvent, parse_line

POLL_SECONDS = 1.0
"""Between two looks for a pod to start or to come."""

_LOST = 5  # connections in a row without a new line, until following gives up


class Printer(Protocol):
    """Where lines go."""

    def line(self, text: str) -> None:
        """One line of the log."""

    def note(self, text: str) -> None:
        """One sentence of ours."""

    def close(self) -> None:
        """Leave the terminal as it was."""


class RawPrinter:
    """Lines as they are, for another program; on a terminal without what could harm it."""

    def __init__(self, stream: BinaryIO, *, is_terminal: bool) -> None:
        self._stream = stream
        self._is_terminal = is_terminal

    def line(self, text: str) -> None:
        """Write the line at once."""
        shown = harmless(text) if self._is_terminal else text
        self._stream.write(shown.encode("utf-8", "replace") + b"\n")
        self._stream.flush()

    def note(self, text: str) -> None:
        """Say it on stderr: stdout is the log's alone."""
        sys.stderr.write(f"qinstruct: {text}\n")

    def close(self) -> None:
        """Nothing to restore."""


class TextPrinter:
    """Events as bars and sentences, other lines as they are but harmless."""

    def __init__(self, view: View) -> None:
        self._view = view

    def line(self, text: str) -> None:
        """Draw the event on the line, or the line."""
        event = parse_line(text)
        if event is None:
            self._view.note(harmless(text))
            return
        try:
            self._show(harmless_event(event))
        except (OverflowError, ValueError):  # numbers that no run has, and nobody can print
            self._view.note(harmless(text))

    def note(self, text: str) -> None:
        """Say it among the lines."""
        self._view.note(text)

    def close(self) -> None:
        """Stop drawing."""
        self._view.close()

    def _show(self, event: Event) -> None:
        match event:
            case Failed():
                self._view.note(f"failed ({event.reason}): {event.message}")
            case StoppedEvent():
                self._view.note(f"stopped after step {event.step} of {event.steps}")
            case Complete():
                self._view.note(f"complete: the model is in {event.model}")
            case _:
                self._view.show(event)


def open_printer(console: Console, *, raw: bool) -> Printer:
    """How to print a log on this console's stream."""
    if raw:
        return RawPrinter(sys.stdout.buffer, is_terminal=console.is_terminal)
    return TextPrinter(open_view(console))


async def show_logs(
    printer: Printer,
    name: str,
    choice: Choice,
    *,
    namespace: str | None,
    context: str | None,
    follow: bool,
    tail: int,
) -> None:
    """Print the log of a run's pod, and if asked go on until the container, or the run, ends.

    Raises:
        RunError: no such run or pod, or the cluster cannot be asked.
    """
    async with open_door(context) as door:
        logs = RunLogs(door.cluster, namespace or door.namespace, name, choice, printer)
        await (logs.follow() if follow else logs.show(tail))


class RunLogs:
    """The logs of one run's pods."""

    def __init__(
        self, cluster: Cluster, namespace: str, name: str, choice: Choice, printer: Printer
    ) -> None:
        self._cluster = cluster
        self._namespace = namespace
        self._name = name
        self._choice = choice
        self._printer = printer
        self._said = ""

    async def show(self, tail: int) -> None:
        """Print the last lines of what is there now."""
        await read_run(self._cluster, self._namespace, self._name)
        pods = await self._pods()
        pod = at_work(pods)
        if pod is None:
            raise UnavailableError(
                f"run {harmless(self._name)} has no {self._choice}, yet or any more; "
                f"`qinstruct status {harmless(self._name)}` says what is known of it"
            )
        if pods[-1] != pod or not pod.has_started:
            self._say_waiting(pods[-1])
        for line in await self._cluster.read_log(
            self._namespace, pod.name, CONTAINERS[pod.component], tail_lines=tail
        ):
            self._printer.line(line)

    async def follow(self) -> None:
        """Print from the beginning to the end of the container; without a choice, of the run."""
        done: set[str] = set()
        run, pods = await self._look()
        while True:
            left = [pod for pod in pods if pod.name not in done]
            pod = left[0] if done and left else at_work(left)
            if pod is not None and (pod.has_started or pod.is_over):
                await self._follow_pod(pod)
                if self._choice.is_narrow:
                    return
                done |= {each.name for each in left[: left.index(pod) + 1]}
            elif is_finished(run.status):
                return
            elif pod is not None:
                self._say_waiting(pod)
            await asyncio.sleep(POLL_SECONDS)
            try:
                run, pods = await self._look()
            except ClusterError as error:
                self._bear(error)

    async def _look(self) -> tuple[SeenRun, tuple[WorkPod, ...]]:
        run = await read_run(self._cluster, self._namespace, self._name)
        return run, await self._pods()

    async def _pods(self) -> tuple[WorkPod, ...]:
        raws = await self._cluster.list(POD, self._namespace, labels={LABEL_RUN: self._name})
        return work_pods(raws, self._choice)

    async def _follow_pod(self, pod: WorkPod) -> None:
        """Every line once, over lost connections too: the server only tells from the start."""
        if not pod.has_started:
            self._say_waiting(pod)  # and it never will start
            return
        printed = lost = 0
        while lost < _LOST:
            before = printed
            printed, ended = await self._read_on(pod, printed)
            if ended:
                return
            lost = lost + 1 if printed == before else 0
            await asyncio.sleep(POLL_SECONDS)
        if not await self._is_over(pod):
            raise UnavailableError(
                f"the log of pod {pod.name} breaks off again and again; "
                "run the command again to read it from its beginning"
            )
        self._note(f"the rest of the log of pod {pod.name} is lost")  # as with its node

    async def _read_on(self, pod: WorkPod, printed: int) -> tuple[int, bool]:
        """Print what comes after so many lines; how many there are now, and whether that is all."""
        seen = 0
        try:
            async for line in self._cluster.follow_log(
                self._namespace, pod.name, CONTAINERS[pod.component]
            ):
                seen += 1
                if seen > printed:
                    self._printer.line(line)
            return max(seen, printed), await self._is_over(pod)
        except (NotFound, Refused) as error:  # pod or container are gone, and the log with them
            self._note(refusal(error))
            return printed, True
        except ClusterError as error:
            self._bear(error)
            return max(seen, printed), False

    async def _is_over(self, pod: WorkPod) -> bool:
        raw = await self._cluster.get(POD, self._namespace, pod.name)
        return raw is None or WorkPod.of(raw).is_over

    def _bear(self, error: ClusterError) -> None:
        """Go on after a trouble that passes; the rest is raised again."""
        if not is_passing(error):
            raise error
        self._note(f"{refusal(error)}; reading on")

    def _say_waiting(self, pod: WorkPod) -> None:
        why = f": {pod.waiting}" if pod.waiting else ""
        self._note(f"{WORK[pod.component]} (pod {pod.name}) has not started{why}")

    def _note(self, text: str) -> None:
        """A note, unless it is the one that was said last."""
        if text != self._said:
            self._said = text
            self._printer.note(text)
