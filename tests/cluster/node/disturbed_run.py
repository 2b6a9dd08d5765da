"""A run in real pods, disturbed as clusters and users disturb them; and what each time costs."""

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TypeVar

from cluster.clients.runs import WatchedRuns
from cluster.harness.processes import wait_until
from cluster.node.pod_processes import PodProcess, pod_processes
from cluster.node.real_node import RealCluster
from qinstruct_operator.core.times import parse_time
from qinstruct_trainer.contract import output_files
from qinstruct_trainer.contract.events import Event, Restarting, Start, Step, parse_line
from qinstruct_trainer.train.metrics.metrics_file import read_steps
from support.helm_chart import NAMESPACE as SYSTEM

PATIENCE: Final = 15 * 60.0
"""Seconds that one thing may take on a machine that does much else."""

E = TypeVar("E")


@dataclass(frozen=True)
class Cost:
    """What one disturbance has cost.

    Attributes:
        seconds: from the disturbance, or its end, to the first step that had not been taken before.
        of_new_pod: of these, those since there was a new pod; None: it was the same one.
        steps: how many were taken again.
    """

    what: str
    seconds: float
    of_new_pod: float | None
    steps: int

    def __str__(self) -> str:
        pod = "" if self.of_new_pod is None else f", {self.of_new_pod:.1f} s since the new pod was"
        return f"{self.what}: {self.seconds:.1f} s to the next new step{pod}; again: {self.steps}"


class DisturbedRun:
    """One run in a namespace, which trains or will soon."""

    def __init__(self, cluster: RealCluster, runs: WatchedRuns, name: str) -> None:
        self._cluster = cluster
        self._runs = runs
        self._name = name

    def disturb(self) -> Iterator[Cost]:
        """All there is, one after the other; then the run is left alone.

        It comes to its second attempt, whose pod is its third.
        """
        yield self._kill_a_rank()
        yield self._delete_the_pod_and_kill_the_operator()
        yield self._suspend_and_let_go_on()

    def _kill_a_rank(self) -> Cost:
        self._wait(lambda: self._last_step() > self._checkpoint() > 0, "steps since a checkpoint")
        pod = self._pod(1)
        killed = time.time()
        self._kill(pod, lambda process: process.name == "rank 1")
        self._wait(lambda: "restarts" in self._status().get("training", ()), "a restart in place")
        (restarting,) = self._told(1, Restarting)
        return self._cost("a rank killed", killed, 1, restarting.step or 0)

    def _delete_the_pod_and_kill_the_operator(self) -> Cost:
        pod = self._pod(1)["metadata"]
        deleted = time.time()
        self._runs.kubectl("delete", "pod", pod["name"], "--wait=false")
        self._runs.wait_phase(self._name, "Recovering", PATIENCE)
        self._kill_the_operator()
        self._wait(lambda: not [*pod_processes(pod["uid"])], "the end of the pod")
        last = self._last_step()
        self._wait(lambda: self._last_step() > last, "a step of another attempt")
        return self._cost("the pod deleted, the operator killed", deleted, 2, last, self._pod(2))

    def _kill_the_operator(self) -> None:
        """In its pod, with SIGKILL."""
        found = self._cluster.kubectl("get", "pods", f"--namespace={SYSTEM}", "--output=json")
        (pod,) = json.loads(found)["items"]
        self._kill(pod, lambda process: b"--module=qinstruct_operator.handlers" in process.command)

    def _kill(self, pod: dict[str, Any], whom: Callable[[PodProcess], bool]) -> None:
        found = [each for each in pod_processes(pod["metadata"]["uid"]) if whom(each)]
        assert found
        for each in found:
            with suppress(ProcessLookupError):  # a rank's helper ends with it
                os.kill(each.pid, signal.SIGKILL)

    def _suspend_and_let_go_on(self) -> Cost:
        self._suspend(True)
        self._runs.wait_phase(self._name, "Suspended", PATIENCE)
        pod = f"Pod/{self._name}-2-master-0"  # has ended, and the kubelet is yet to remove it
        self._wait(lambda: pod not in self._runs.names("pods"), "the end of the pod's object")
        last = self._last_step()
        resumed = time.time()
        self._suspend(False)
        self._wait(lambda: self._last_step() > last, "a step after the suspension")
        return self._cost("suspended, since it may go on", resumed, 2, last, self._pod(2))

    def _suspend(self, suspend: bool) -> None:
        patch = json.dumps({"spec": {"suspend": suspend}})
        self._runs.kubectl("patch", "qit", self._name, "--type=merge", f"--patch={patch}")

    def _cost(
        self, what: str, since: float, attempt: int, last: int, pod: dict[str, Any] | None = None
    ) -> Cost:
        """Wait for the first step after `last`, and reckon what it took to come to it."""
        self._wait(lambda: self._last_step() > last, f"step {last + 1}")
        step = next(step for step in self._steps() if step.step > last)
        *_, start = self._told(attempt, Start)
        of_pod = step.time - _created(pod).timestamp() if pod else None
        return Cost(what, step.time - since, of_pod, last - start.step)

    def _told(self, attempt: int, kind: type[E]) -> list[E]:
        """The events of this kind in the log of an attempt's pod."""
        log = self._runs.kubectl("logs", self._pod(attempt)["metadata"]["name"])
        events: Iterator[Event | None] = (parse_line(line, None) for line in log.splitlines())
        return [event for event in events if isinstance(event, kind)]

    def _pod(self, attempt: int) -> dict[str, Any]:
        name = f"{self._name}-{attempt}-master-0"
        found: dict[str, Any] = json.loads(self._runs.kubectl("get", "pod", name, "-o", "json"))
        return found

    def _status(self) -> dict[str, Any]:
        return (self._runs.statuses(self._name) or [{}])[-1]

    def _checkpoint(self) -> int:
        """The step of the newest one; 0 where nothing is saved."""
        return int(self._status().get("checkpoint", {"step": 0})["step"])

    def _last_step(self) -> int:
        return max((step.step for step in self._steps()), default=0)

    def _steps(self) -> list[Step]:
        found = [*self._cluster.volumes.glob(f"*_{self._runs.namespace}_{self._name}-output")]
        return [step for one in found for step in read_steps(one / output_files.METRICS)]

    def _wait(self, condition: Callable[[], bool], what: str) -> None:
        wait_until(condition, f"{self._name}: {what}", PATIENCE)


def _created(pod: dict[str, Any]) -> datetime:
    moment = parse_time(pod["metadata"]["creationTimestamp"])
    assert moment is not None
    return moment
