"""`qinstruct logs`: print the log of a run's pod, and with --follow of the pods after it too."""

import asyncio

from qinstruct_operator.cli.cluster.connection import explain, is_transient, open_connection
from qinstruct_operator.cli.cluster.pods import (
    ACTIVITIES,
    PodSelector,
    RunPod,
    newest_started,
    select_pods,
)
from qinstruct_operator.cli.cluster.runs import ClusterRun, read_run
from qinstruct_operator.cli.cluster.show_log import LogPrinter
from qinstruct_operator.cli.terminal import sanitize
from qinstruct_operator.cluster.errors import ClusterError, NotFound, Refused
from qinstruct_operator.cluster.port import Cluster
from qinstruct_operator.constants import LABEL_RUN
from qinstruct_operator.core.condition_list import is_finished
from qinstruct_operator.kinds import POD
from qinstruct_trainer.contract.errors import UnavailableError

POLL_SECONDS = 1.0
"""Seconds between two reads while a pod has not started, or does not exist."""

_MAX_LOST = 5  # connections in a row without a new line, until following gives up


async def run_logs(
    printer: LogPrinter,
    name: str,
    selector: PodSelector,
    *,
    namespace: str | None,
    context: str | None,
    follow: bool,
    tail: int,
) -> None:
    """Print the log of a run's pod, and if asked follow it until the container, or the run, ends.

    Raises:
        RunError: no such run or pod, or the cluster cannot be asked.
    """
    async with open_connection(context) as connection:
        where = namespace or connection.namespace
        logs = RunLogs(connection.cluster, where, name, selector, printer)
        await (logs.follow() if follow else logs.show(tail))


class RunLogs:
    """The logs of one run's pods."""

    def __init__(
        self,
        cluster: Cluster,
        namespace: str,
        name: str,
        selector: PodSelector,
        printer: LogPrinter,
    ) -> None:
        self._cluster = cluster
        self._namespace = namespace
        self._name = name
        self._selector = selector
        self._printer = printer
        self._last_note = ""

    async def show(self, tail: int) -> None:
        """Print the last lines of what is there now."""
        _, pods = await self._read()
        pod = newest_started(pods)
        if pod is None:
            raise UnavailableError(
                f"run {sanitize(self._name)} has no {self._selector}, yet or any more; "
                f"`qinstruct status {sanitize(self._name)}` says what is known of it"
            )
        if pods[-1] != pod or not pod.has_started:
            self._note_waiting(pods[-1])
        for line in await self._cluster.read_log(
            self._namespace, pod.name, pod.container, tail_lines=tail
        ):
            self._printer.line(line, pod.writer)

    async def follow(self) -> None:
        """Print from its beginning to the end of the container; by default, of the run."""
        done: set[str] = set()
        run, pods = await self._read()
        while True:
            left = [pod for pod in pods if pod.uid not in done]
            pod = left[0] if done and left else newest_started(left)
            if pod is not None and (pod.has_started or pod.is_over):
                await self._follow_pod(pod)
                if self._selector.is_narrow:
                    return
                done |= {each.uid for each in left[: left.index(pod) + 1]}
            elif is_finished(run.status):
                return
            elif pod is not None:
                self._note_waiting(pod)
            await asyncio.sleep(POLL_SECONDS)
            try:
                run, pods = await self._read()
            except ClusterError as error:
                self._note_if_transient(error)

    async def _read(self) -> tuple[ClusterRun, tuple[RunPod, ...]]:
        run = await read_run(self._cluster, self._namespace, self._name)
        raws = await self._cluster.list(POD, self._namespace, labels={LABEL_RUN: self._name})
        return run, select_pods(raws, self._selector)

    async def _follow_pod(self, pod: RunPod) -> None:
        """Print every line once, over lost connections too: a log can only be read from its start.

        Raises:
            UnavailableError: the connection is lost again and again.
        """
        if not pod.has_started:
            self._note_waiting(pod)  # and it never will start
            return
        printed = lost = 0
        while lost < _MAX_LOST:
            before = printed
            printed, ended = await self._print_after(printed, pod)
            if ended:
                return
            lost = lost + 1 if printed == before else 0
            await asyncio.sleep(POLL_SECONDS)
        if not await self._is_over(pod):
            raise UnavailableError(
                f"the log of pod {pod.name} breaks off again and again; "
                "run the command again to read it from its beginning"
            )
        self._note(f"the rest of the log of pod {pod.name} is lost")  # its node may be gone

    async def _print_after(self, printed: int, pod: RunPod) -> tuple[int, bool]:
        """Print the lines after the first `printed`; how many there are now, and whether all."""
        seen = 0
        try:
            async for line in self._cluster.follow_log(self._namespace, pod.name, pod.container):
                seen += 1
                if seen > printed:
                    self._printer.line(line, pod.writer)
            return max(seen, printed), await self._is_over(pod)
        except (NotFound, Refused) as error:  # pod or container are gone, and the log with them
            self._note(explain(error))
            return printed, True
        except ClusterError as error:
            self._note_if_transient(error)
            return max(seen, printed), False

    async def _is_over(self, pod: RunPod) -> bool:
        raw = await self._cluster.get(POD, self._namespace, pod.name)
        if raw is None:
            return True
        found = RunPod.of(raw)  # another of its name is not this one
        return found.uid != pod.uid or found.is_over

    def _note_if_transient(self, error: ClusterError) -> None:
        """Print a transient error and go on; raise any other again."""
        if not is_transient(error):
            raise error
        self._note(f"{explain(error)}; reading on")

    def _note_waiting(self, pod: RunPod) -> None:
        why = f": {pod.waiting}" if pod.waiting else ""
        self._note(f"{ACTIVITIES[pod.component]} (pod {pod.name}) has not started{why}")

    def _note(self, text: str) -> None:
        """Print a note, unless it is the same as the last one."""
        if text != self._last_note:
            self._last_note = text
            self._printer.note(text)
