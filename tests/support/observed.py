"""Raw objects of a cluster, as of a run's children, and what the pure core makes of them."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from qinstruct_operator.api import parse
from qinstruct_operator.api.status import Status
from qinstruct_operator.constants import (
    API_VERSION,
    FIELD_MANAGER,
    KIND,
    LABEL_MANAGED_BY,
    LABEL_QUEUE,
    LABEL_RUN,
    PREP_CONTAINER,
)
from qinstruct_operator.core.judge.judge import judge
from qinstruct_operator.core.judge.observe import Observed, Snapshot, observe
from qinstruct_operator.core.plan.make import make_plan
from qinstruct_operator.core.plan.types import Plan
from qinstruct_operator.core.run import Run
from qinstruct_operator.errors import Violation
from qinstruct_operator.kinds import CLAIM, CONFIG_MAP
from qinstruct_operator.settings import Settings
from qinstruct_trainer.contract.events import (
    Checkpoint,
    Complete,
    Event,
    Exported,
    Failed,
    PrepProgress,
    PrepWaiting,
    Restarting,
    Stage,
    Start,
    Step,
    StoppedEvent,
)
from support.kinds import TRAINING_CONTAINER
from support.operator_documents import UID, document

NAMESPACE = "team"
NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
CREATED = "2026-03-01T11:00:00Z"
OTHER_UID = "99999999-8a54-4f0e-9a53-0c8f5b1d7e11"
RUN = Run(NAMESPACE, "x", UID, generation=1, resource_version="7")

Raw = dict[str, Any]


def training(name: str = "x", size: str = "7B", **spec: Any) -> Raw:
    """A run as the API server stores it."""
    raw = document(name, size, **spec)
    raw["metadata"] |= {
        "namespace": NAMESPACE,
        "uid": UID,
        "generation": 1,
        "resourceVersion": "7",
        "creationTimestamp": CREATED,
    }
    return raw


def plan(**spec: Any) -> Plan:
    """The plan of such a run."""
    return make_plan(parse(training(**spec)), Settings())


def child(
    kind: str,
    name: str,
    *conditions: Raw,
    owner: str | None = UID,
    ours: bool = True,
    queue: str | None = None,
) -> Raw:
    """A child, by default of the run and made by us, and in no queue."""
    owners = [{"apiVersion": API_VERSION, "kind": KIND, "name": "x", "uid": owner}]
    return {
        "kind": kind,
        "metadata": {
            "name": name,
            "namespace": NAMESPACE,
            "uid": f"uid-{name}",
            "creationTimestamp": CREATED,
            "labels": {
                **({LABEL_MANAGED_BY: FIELD_MANAGER, LABEL_RUN: "x"} if ours else {}),
                **({LABEL_QUEUE: queue} if queue else {}),
            },
            **({"ownerReferences": [owners[0] | {"controller": True}]} if owner else {}),
        },
        "status": {"startTime": CREATED, "conditions": list(conditions)},
    }


def prep_job(*conditions: Raw, **options: Any) -> Raw:
    """The prep Job."""
    return child("Job", "x-prep", *conditions, **options)


def pytorchjob(*conditions: Raw, **options: Any) -> Raw:
    """The PyTorchJob of the first attempt."""
    return child("PyTorchJob", "x-1", *conditions, **options)


def config_map(**options: Any) -> Raw:
    """The ConfigMap."""
    return child("ConfigMap", "x-config", **options)


def claim(name: str = "x-output", phase: str = "Bound", owner: str | None = None) -> Raw:
    """A volume claim as the operator makes it; a cache is no run's own."""
    raw = child("PersistentVolumeClaim", name, owner=owner)
    if name.startswith("qinstruct-cache"):
        del raw["metadata"]["labels"][LABEL_RUN]
    return raw | {"status": {"phase": phase}}


def condition(type_: str, reason: str = "", message: str = "", status: str = "True") -> Raw:
    """A condition as the API server stores it."""
    return {"type": type_, "status": status, "reason": reason, "message": message}


COMPLETE = condition("Complete", "CompletionsReached")
SUCCEEDED = condition(
    "Succeeded", "PyTorchJobSucceeded", "PyTorchJob x-1 is successfully completed."
)
JOB_FAILED = condition(
    "Failed", "PyTorchJobFailed", "PyTorchJob x-1 is failed because 1 replica failed."
)
SUSPENDED = condition("Suspended", "PyTorchJobSuspended", "PyTorchJob x-1 is suspended.")


def pod(
    workload: Raw,
    state: Raw | None = None,
    *conditions: Raw,
    name: str | None = None,
    node: str | None = "gpu-1",
    created: str = CREATED,
    uid: str | None = None,
    spec: Raw | None = None,
    **status: Any,
) -> Raw:
    """A pod of a workload; without a state its container has not been heard of."""
    owner = {"uid": workload["metadata"]["uid"], "controller": True}
    container = PREP_CONTAINER if workload["kind"] == "Job" else TRAINING_CONTAINER
    name = name or f"{workload['metadata']['name']}-master-0"
    return {
        "kind": "Pod",
        "metadata": {
            "name": name,
            "uid": uid or f"uid-{name}",
            "creationTimestamp": created,
            "ownerReferences": [owner],
        },
        "spec": {**({"nodeName": node} if node else {}), **(spec or {})},
        "status": {
            "phase": "Pending",
            "conditions": list(conditions),
            **({"containerStatuses": [{"name": container, "state": state}]} if state else {}),
            **status,
        },
    }


def deleting(raw: Raw, minutes: float = 1, grace: int = 600, *finalizers: str) -> Raw:
    """An object whose deletion was asked for so long before `NOW`."""
    meta = {
        "deletionTimestamp": _text(NOW - timedelta(minutes=minutes) + timedelta(seconds=grace)),
        "deletionGracePeriodSeconds": grace,
        **({"finalizers": list(finalizers)} if finalizers else {}),
    }
    return raw | {"metadata": raw["metadata"] | meta}


def written(raw: Raw, minutes: float) -> Raw:
    """An object that was written last so long before `NOW`."""
    times = [{"time": CREATED}, {"time": _text(NOW - timedelta(minutes=minutes))}]
    return raw | {"metadata": raw["metadata"] | {"managedFields": times}}


def at_time(raw: Raw, minutes: float) -> Raw:
    """A condition that changed so long before `NOW`."""
    return raw | {"lastTransitionTime": _text(NOW - timedelta(minutes=minutes))}


def node(
    status: str = "True", reason: str = "", message: str = "", minutes: float = 10, **more: Any
) -> Raw:
    """Node gpu-1, whose condition Ready changed so long before `NOW`."""
    ready = at_time(condition("Ready", reason, message, status), minutes) | more
    return {"kind": "Node", "metadata": {"name": "gpu-1"}, "status": {"conditions": [ready]}}


def alive() -> Raw:
    """The same node, whose kubelet has just written its status."""
    return node(lastHeartbeatTime=_text(NOW))


def unreachable() -> Raw:
    """The same node, as its controller writes it when its kubelet has gone silent."""
    return node("Unknown", "NodeStatusUnknown", "Kubelet stopped posting node status.")


def waiting(reason: str = "ContainerCreating", message: str | None = None) -> Raw:
    """State of a container that waits."""
    return {"waiting": {"reason": reason, **({"message": message} if message else {})}}


def running(minutes: int = 30) -> Raw:
    """State of a container that has run for so long at `NOW`."""
    return {"running": {"startedAt": _ago(minutes)}}


def ended(
    exit_code: int = 0,
    reason: str | None = None,
    message: str = "",
    ran: tuple[int, int] = (30, 1),
) -> Raw:
    """State of a container that ran from so many minutes before `NOW` to so many before it."""
    return {
        "terminated": {
            "exitCode": exit_code,
            "reason": reason or ("Error" if exit_code else "Completed"),
            "message": message,
            "startedAt": _ago(ran[0]),
            "finishedAt": _ago(ran[1]),
        }
    }


def warning(about: Raw, reason: str, message: str, last: str = "2026-03-01T11:30:00Z") -> Raw:
    """A Warning event about an object."""
    return {
        "metadata": {"name": f"{reason}.{last}", "creationTimestamp": CREATED},
        "type": "Warning",
        "reason": reason,
        "message": message,
        "involvedObject": {"uid": about["metadata"]["uid"]},
        "lastTimestamp": last,
    }


def event(about: Raw, reason: str, message: str, last: str, by: str = "kubelet") -> Raw:
    """An event about an object that is no warning."""
    return warning(about, reason, message, last) | {"type": "Normal", "source": {"component": by}}


def lines(*events: Event, until: datetime = NOW) -> tuple[str, ...]:
    """A log as the trainer writes it: one event each ten seconds up to a moment."""
    first = until.timestamp() - 10 * (len(events) - 1)
    timed = (each.model_copy(update={"time": first + 10 * n}) for n, each in enumerate(events))
    return tuple(each.model_dump_json(exclude_none=True) for each in timed)


def signed_lines(log: Iterable[str], uid: str) -> tuple[str, ...]:
    """Lines of events as the pod with this uid prints them."""
    return tuple(json.dumps(json.loads(line) | {"writer": uid}) for line in log)


def prep_event(done: int, total: int | None = 100, stage: Stage = "fetch") -> PrepProgress:
    return PrepProgress(stage=stage, item="labels", done=done, total=total, unit="files")


def waiting_event(owner: str = "run-a") -> PrepWaiting:
    return PrepWaiting(stage="model", item="llava", owner=owner)


def start_event(step: int = 0, steps: int = 200, restarts: int | None = None) -> Start:
    return Start(
        step=step,
        steps=steps,
        world_size=8,
        num_records=1,
        parameters=1,
        trainable=1,
        device="cuda",
        restarts=restarts,
    )


def step_event(step: int, steps: int = 200, **values: Any) -> Step:
    usual: dict[str, Any] = {
        "loss": 1.23456,
        "learning_rate": 2e-5,
        "gradient_norm": 1.0,
        "tokens": 1000,
        "seconds": 10.0,
        "samples_per_second": 12.84,
        "tokens_per_second": 9876.54,
        "eta_seconds": 10.0 * (steps - step),
        "memory_bytes": 1,
    }
    return Step(step=step, steps=steps, **(usual | values))


def saved_event(step: int) -> Checkpoint:
    return Checkpoint(step=step, path="/output/checkpoints/1", num_bytes=1, seconds=1.0)


def exported_event() -> Exported:
    return Exported(path="/output/model", num_bytes=1)


def complete_event() -> Complete:
    return Complete(model="/output/model")


def failed_event(reason: str, message: str, exit_code: int) -> Failed:
    return Failed(reason=reason, message=message, exit_code=exit_code)


def restarting_event(retry: int = 1, **values: Any) -> Restarting:
    usual: dict[str, Any] = {"reason": "Killed", "message": "rank 1 was killed", "exit_code": 137}
    return Restarting(retry=retry, retries=2, **(usual | values))


def stopped_event(step: int, steps: int = 200) -> StoppedEvent:
    return StoppedEvent(step=step, steps=steps)


CONFIG_ID = (CONFIG_MAP, "x-config")


def snapshot_of(
    *, config: Raw | None = None, claims: Mapping[str, Raw | None] | None = None, **read: Any
) -> Snapshot:
    """A reading of the cluster that asked for these."""
    support = {(CLAIM, name): raw for name, raw in (claims or {}).items()}
    if config is not None:
        return Snapshot(support={CONFIG_ID: config, **support}, **read)
    return Snapshot(support=support, **read)


def run_of(
    status: Status | None = None,
    made: Plan | None = None,
    violations: Sequence[Violation] = (),
) -> Run:
    """The run with this status; without violations with its plan."""
    chosen = None if violations else (made or plan())
    return replace(RUN, status=status or Status(), plan=chosen, violations=tuple(violations))


def seen(snapshot: Snapshot) -> Observed:
    return observe(RUN, snapshot)


def status_of(
    snapshot: Snapshot,
    previous: Status | None = None,
    *,
    made: Plan | None = None,
    violations: Sequence[Violation] = (),
    now: datetime = NOW,
    refused: str = "",
) -> Status:
    """The status of the run with these children; without violations with its plan."""
    run = run_of(previous, made, violations)
    return judge(run, replace(observe(run, snapshot), refused=refused), now)


def condition_reasons(status: Status) -> dict[str, tuple[str, str]]:
    """Each condition's status and reason."""
    return {each.type: (each.status, each.reason) for each in status.conditions}


def message(status: Status, type_: str) -> str:
    """A condition's message."""
    return next(each.message for each in status.conditions if each.type == type_)


def _ago(minutes: int) -> str:
    return _text(NOW - timedelta(minutes=minutes))


def _text(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
