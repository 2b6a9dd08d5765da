"""A simulated cluster: the fake API server with scheduler, kubelet, controllers and a user.

They act in small steps, in any order that a test chooses, so that the operator meets every
intermediate state. The scenario decides how a run ends, whatever the order of the steps.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from qinstruct_operator.api.read_status import read_status
from qinstruct_operator.api.status import Status
from qinstruct_operator.cluster.port import Resource
from qinstruct_operator.constants import (
    GPU_RESOURCE,
    LABEL_ATTEMPT,
    LABEL_MANAGED_BY,
    LABEL_RUN,
    PREP_CONTAINER,
)
from qinstruct_operator.core.children.pod import environment
from qinstruct_operator.kinds import CLAIM, CONFIG_MAP, EVENT, JOB, POD, TRAINING, Kind
from qinstruct_operator.reconcile import Reconciler
from qinstruct_operator.settings import Settings
from qinstruct_trainer.contract.errors import EXIT_CONFIG, EXIT_DATA
from support.fake_cluster.cluster import FakeCluster
from support.kinds import PYTORCHJOB, TRAINING_CONTAINER
from support.observed import (
    NAMESPACE,
    NOW,
    complete_event,
    condition,
    exported_event,
    failed_event,
    lines,
    prep_event,
    saved_event,
    signed_lines,
    start_event,
    step_event,
    training,
)
from support.simulation.recording_operator import Operator

Step = Callable[[], Awaitable[None]]

_RETRIES = 3
_POD_LABELS = (LABEL_RUN, LABEL_MANAGED_BY, LABEL_ATTEMPT)
_ENDS = {"Complete", "Succeeded", "Failed"}
PREP_LOG = lines(prep_event(10), prep_event(100), prep_event(99, stage="index"))
TRAINING_LOG = lines(
    start_event(), step_event(1), saved_event(1), step_event(200), exported_event()
)


@dataclass(frozen=True)
class Scenario:
    """How a run's pods end.

    Attributes:
        prep: exit codes of the prep pods in order; the last one repeats.
        training: exit codes of the attempts to train in order; the last one repeats.
        recovery: fields of spec.recovery.
    """

    prep: tuple[int, ...] = (0,)
    training: tuple[int, ...] = (0,)
    recovery: tuple[tuple[str, int], ...] = ()


class SimulatedCluster:
    """A cluster with one run in it.

    Attributes:
        cluster: the API server.
        operator: the same as the operator sees it.
        was_prepared: prep has succeeded at least once.
    """

    def __init__(self, scenario: Scenario, **spec: Any) -> None:
        self.cluster = FakeCluster(now=_text(NOW))
        self.operator = Operator(self)
        self.was_prepared = False
        self._scenario = scenario
        self._spec = {"recovery": dict(scenario.recovery)} | spec if scenario.recovery else spec
        self._now = NOW
        self._said: dict[str, int] = {}

    async def create_run(self) -> None:
        """Let a user create the run, in a cluster with one node."""
        await self.cluster.create(
            {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "node-1"}}
        )
        await self.cluster.create(training(**self._spec))

    async def take_notice(self, manifest: Resource) -> None:
        """Let the controller of a new workload write its first status."""
        for kind in (JOB, PYTORCHJOB):
            if manifest["kind"] == kind.kind:
                await self._set(kind, manifest["metadata"]["name"], {"startTime": _text(self._now)})

    async def reconcile(self) -> None:
        """One pass of a fresh operator: it remembers nothing."""
        await self.reconciler().reconcile(NAMESPACE, "x")

    def reconciler(self) -> Reconciler:
        """A fresh operator, for several passes."""
        return Reconciler(self.operator, Settings(), lambda: self._now)

    async def status(self) -> Status:
        """The run's status."""
        found = await self.cluster.get(TRAINING, NAMESPACE, "x")
        assert found is not None
        return read_status(found)[0]

    async def names(self, kind: Kind) -> list[str]:
        """Names of the objects of a kind."""
        return [each["metadata"]["name"] for each in await self.cluster.list(kind, NAMESPACE)]

    async def events(self) -> list[tuple[str, str]]:
        """Type and reason of each event."""
        events = await self.cluster.list(EVENT, NAMESPACE)
        return sorted((each["type"], each["reason"]) for each in events)

    async def active_workloads(self) -> list[str]:
        """Workloads that have not ended."""
        jobs = [
            *(await self.cluster.list(JOB, NAMESPACE)),
            *(await self.cluster.list(PYTORCHJOB, NAMESPACE)),
        ]
        return [each["metadata"]["name"] for each in jobs if not _has_ended(each)]

    async def live_training(self) -> list[str]:
        """Attempts to train that have not ended, and their pods that have not."""
        jobs = await self.cluster.list(PYTORCHJOB, NAMESPACE)
        pods = [each for job in jobs for each in await self._pods(job)]
        live = [job for job in jobs if not _has_ended(job)]
        live += [pod for pod in pods if "terminated" not in _state(pod)]
        return [each["metadata"]["name"] for each in live]

    async def perform(self, step: Step) -> None:
        """Take a step; a minute passes."""
        await step()
        self.wait()

    @property
    def now(self) -> datetime:
        """What every clock shows."""
        return self._now

    def wait(self, **duration: float) -> None:
        """Let a minute pass, or such a time, e.g. `hours=1`."""
        self._now += timedelta(**duration or {"minutes": 1})
        self.cluster.set_now(_text(self._now))

    async def next_steps(self) -> dict[str, Step]:
        """The steps that the cluster can take next, by name."""
        found: dict[str, Step] = {}
        for claim in await self.cluster.list(CLAIM, NAMESPACE):
            if not claim.get("status"):
                name = claim["metadata"]["name"]
                found[f"bind {name}"] = partial(self._set, CLAIM, name, {"phase": "Bound"})
        for kind in (JOB, PYTORCHJOB):
            for job in await self.cluster.list(kind, NAMESPACE):
                if not _has_ended(job):
                    name, step = await self._step_of(kind, job)
                    if step:
                        found[f"{name} {job['metadata']['name']}"] = step
        recovery = (await self.status()).recovery
        run = await self.cluster.get(TRAINING, NAMESPACE, "x")
        is_held = run is not None and run["spec"].get("suspend")
        if not found and recovery and recovery.next_attempt_time and not is_held:
            found["let a minute pass"] = self._nothing
        return found

    async def _nothing(self) -> None:
        """Only time passes."""

    async def user_actions(self) -> dict[str, Step]:
        """What a user could do to a run's children and its status, by name."""
        found: dict[str, Step] = {
            f"delete {kind.kind} {name}": partial(self._delete, kind, name)
            for kind in (JOB, PYTORCHJOB, CONFIG_MAP)
            for name in await self.names(kind)
        }
        found["wipe the status"] = partial(self._set, TRAINING, "x", {})
        found["annotate the run"] = self._annotate
        return found

    async def _step_of(self, kind: Kind, job: Resource) -> tuple[str, Step | None]:
        """The next thing that happens to a job that has not ended."""
        pods = await self._pods(job)
        pod = pods[-1] if pods else None
        if pod is not None and (leaving := self._leave(kind, job, pod)):
            return leaving
        if _is_suspended(job):
            return "", None
        if pod is None:
            return "make a pod of", partial(self._make_pod, kind, job, 0)
        name, state = pod["metadata"]["name"], _state(pod)
        if not pod["spec"].get("nodeName"):
            return await self._schedule(pod)
        if "terminated" in state:
            return "settle", partial(self._settle, kind, job, pods)
        if "running" not in state:
            return await self._start(pod)
        attempt = int(job["metadata"]["labels"].get(LABEL_ATTEMPT, 1))
        script, code = self._script(kind, (len(pods) if kind == JOB else attempt) - 1)
        said = self._said.get(pod["metadata"]["uid"], 0)
        if said < len(script):
            return "hear", partial(self._say, kind, pod, script[said])
        return "end the container of", partial(self.end, name, code)

    def _leave(self, kind: Kind, job: Resource, pod: Resource) -> tuple[str, Step] | None:
        """What happens to a pod because its job was suspended."""
        name, state = pod["metadata"]["name"], _state(pod)
        if not pod["metadata"].get("deletionTimestamp"):
            stays = kind == JOB and "terminated" in state  # a Job counts those
            if stays or not _is_suspended(job):
                return None
            return "delete the pod of", partial(self._mark, name)
        if "running" in state:
            return "stop the container of", partial(self.end, name, 75)
        # The trap: a PyTorchJob that goes on beside a pod that is over fails by that one's code.
        if "terminated" in state and kind == PYTORCHJOB and not _is_suspended(job):
            return None
        return "remove the pod of", partial(self._delete, POD, name)

    async def _mark(self, pod: str) -> None:
        def change(found: Resource) -> None:
            found["metadata"]["deletionTimestamp"] = _text(self._now + timedelta(minutes=10))
            found["metadata"]["deletionGracePeriodSeconds"] = 600

        await self._edit(POD, pod, change)

    async def suspend(self, suspend: bool) -> None:
        """Let a user write spec.suspend."""
        await self._edit(TRAINING, "x", lambda found: found["spec"].update(suspend=suspend))

    async def _schedule(self, pod: Resource) -> tuple[str, Step | None]:
        name = pod["metadata"]["name"]
        if not pod.get("status"):
            said = condition("PodScheduled", "Unschedulable", "0/1 nodes", status="False")
            return "find no node for", partial(
                self._set, POD, name, {"phase": "Pending", "conditions": [said]}
            )
        claims = await self.cluster.list(CLAIM, NAMESPACE)
        if len(claims) < 2 or not all(each.get("status") for each in claims):
            return "", None

        def bind(found: Resource) -> None:
            found["spec"]["nodeName"] = "node-1"
            since = {"lastTransitionTime": _text(self._now)}
            found["status"]["conditions"] = [condition("PodScheduled") | since]
            found["status"]["startTime"] = _text(self._now)

        return "find a node for", partial(self._edit, POD, name, bind)

    async def _start(self, pod: Resource) -> tuple[str, Step | None]:
        name = pod["metadata"]["name"]
        if not _state(pod):
            return "create the container of", partial(
                self._set_state, name, "Pending", {"waiting": {"reason": "ContainerCreating"}}
            )
        if not await self.names(CONFIG_MAP):
            return "", None
        return "start the container of", partial(
            self._set_state, name, "Running", {"running": {"startedAt": _text(self._now)}}
        )

    def _script(self, kind: Kind, index: int) -> tuple[tuple[str, ...], int]:
        """What a container prints, and how it ends."""
        if kind == PYTORCHJOB:
            log, codes, end = TRAINING_LOG, self._scenario.training, lines(complete_event())
        else:
            log, codes, end = PREP_LOG, self._scenario.prep, ()
        code = codes[min(index, len(codes) - 1)]
        if not code:
            return (*log, *end), 0
        return (*log[:2], *lines(failed_event(f"Reason{code}", "why", code))), code

    async def _settle(self, kind: Kind, job: Resource, pods: list[Resource]) -> None:
        name = job["metadata"]["name"]
        code = _state(pods[-1])["terminated"]["exitCode"]
        if kind == PYTORCHJOB:
            end = "Failed" if code else "Succeeded"
        elif not code:
            end, self.was_prepared = "Complete", True
        elif code in (EXIT_CONFIG, EXIT_DATA) or len(pods) > _RETRIES:
            end = "Failed"
        else:
            await self._make_pod(kind, job, len(pods))
            return
        await self._set(kind, name, {"conditions": [condition(end, f"Job{end}", "as it is")]})

    async def _make_pod(self, kind: Kind, job: Resource, index: int) -> None:
        name = f"{job['metadata']['name']}-{index}"
        container = TRAINING_CONTAINER if kind == PYTORCHJOB else PREP_CONTAINER
        labels = job["metadata"]["labels"]
        limits = {GPU_RESOURCE: "8"} if kind == PYTORCHJOB else {}
        await self.cluster.create(
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {
                    "name": name,
                    "namespace": NAMESPACE,
                    "labels": {key: labels[key] for key in _POD_LABELS if key in labels},
                    "ownerReferences": [
                        {
                            "apiVersion": kind.api_version,
                            "kind": kind.kind,
                            "name": job["metadata"]["name"],
                            "uid": job["metadata"]["uid"],
                            "controller": True,
                        }
                    ],
                },
                "spec": {
                    "containers": [
                        {"name": container, "env": environment(), "resources": {"limits": limits}}
                    ]
                },
            }
        )

    async def _pods(self, job: Resource) -> list[Resource]:
        uid = job["metadata"]["uid"]
        pods = await self.cluster.list(POD, NAMESPACE)
        own = [each for each in pods if each["metadata"]["ownerReferences"][0]["uid"] == uid]
        return sorted(own, key=lambda each: str(each["metadata"]["name"]))

    async def _say(self, kind: Kind, pod: Resource, line: str) -> None:
        meta = pod["metadata"]
        container = TRAINING_CONTAINER if kind == PYTORCHJOB else PREP_CONTAINER
        (signed,) = signed_lines([line], meta["uid"])
        self.cluster.write_log(NAMESPACE, meta["name"], container, signed)
        self._said[meta["uid"]] = self._said.get(meta["uid"], 0) + 1

    async def end(self, pod: str, code: int) -> None:
        """End the container of a pod with this exit code."""
        ended = {"exitCode": code, "reason": "Error" if code else "Completed"}
        found = await self.cluster.get(POD, NAMESPACE, pod)
        assert found is not None
        began = _state(found)["running"]["startedAt"]
        times = {"startedAt": began, "finishedAt": _text(self._now)}
        phase = "Failed" if code else "Succeeded"
        await self._set_state(pod, phase, {"terminated": ended | times})

    async def _set_state(self, pod: str, phase: str, state: Resource) -> None:
        def change(found: Resource) -> None:
            # Something has put another container into the pod; the kubelet sorts them by name.
            names = ("istio-proxy", found["spec"]["containers"][0]["name"])
            statuses = [{"name": name, "state": state} for name in names]
            found["status"] |= {"phase": phase, "containerStatuses": statuses}

        await self._edit(POD, pod, change)

    async def _set(self, kind: Kind, name: str, status: Resource) -> None:
        self.cluster.set_status(kind, NAMESPACE, name, status)

    async def _edit(self, kind: Kind, name: str, change: Callable[[Resource], None]) -> None:
        self.cluster.edit(kind, NAMESPACE, name, change)

    async def _delete(self, kind: Kind, name: str) -> None:
        self.cluster.delete(kind, NAMESPACE, name)

    async def _annotate(self) -> None:
        def note(found: Resource) -> None:
            found["metadata"]["annotations"] = {"note": _text(self._now)}

        await self._edit(TRAINING, "x", note)


def _has_ended(job: Resource) -> bool:
    conditions = (job.get("status") or {}).get("conditions", ())
    return any(each["type"] in _ENDS and each["status"] == "True" for each in conditions)


def _is_suspended(job: Resource) -> bool:
    spec = job["spec"]
    return bool(spec.get("runPolicy", spec).get("suspend"))


def _state(pod: Resource) -> dict[str, Any]:
    statuses = (pod.get("status") or {}).get("containerStatuses") or [{"state": {}}]
    state: dict[str, Any] = statuses[-1]["state"]
    return state


def _text(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
