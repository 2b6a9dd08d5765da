"""kwok: nodes with GPUs that do not exist, and pods on them that do as they are told.

Stages are objects of the cluster here, so that a test can add one while kwok runs. Those of
`stages.yaml` give every pod a life of a second that succeeds, unless its annotations say otherwise:
each field of `Behaviour` is one, `run_for` as `test.qinstruct.dev/run-for`. Users cannot annotate
the pods of a run; for them `behave` adds a stage that annotates every pod with the run's labels.
"""

import hashlib
import json
import sys
from collections.abc import Iterable
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any, Final

from cluster import pki, podlogs
from cluster.control_plane import LOOPBACK, ControlPlane, answers
from cluster.processes import free_port
from cluster.programs import module_dir, program
from qinstruct_operator.constants import LABEL_ATTEMPT, LABEL_COMPONENT, LABEL_RUN

PREFIX: Final = "test.qinstruct.dev"
_STAGES: Final = Path(__file__).with_name("stages.yaml")
_MESSAGE_LINES: Final = 80  # of the log, as a kubelet takes them for a termination message
_MESSAGE_CHARACTERS: Final = 2048
_TOLD: Final = f"{PREFIX}/told"


@dataclass(frozen=True)
class Behaviour:
    """The life of a pod.

    Attributes:
        start_after: from scheduled to running, as Go writes durations: "100ms", "2s", "100h".
        run_for: from running to ended.
        exit_code: 0 makes the pod Succeeded.
        reason: of the ended container; None: Completed or Error.
        message: termination message; None: the end of the log when the exit code is not 0.
        pull_error: the image does not exist; the pod never starts.
        pod_reason: of the pod itself, as Evicted or DeadlineExceeded.
        disruption: reason of a DisruptionTarget condition.
        term_after: from SIGTERM to the container's end.
        term_exit_code: the container's answer to SIGTERM.
    """

    start_after: str = "100ms"
    run_for: str = "1s"
    exit_code: int = 0
    reason: str | None = None
    message: str | None = None
    pull_error: bool = False
    pod_reason: str | None = None
    disruption: str | None = None
    term_after: str = "300ms"
    term_exit_code: int = 143

    def annotations(self) -> dict[str, str]:
        """As the stages read it."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {
            f"{PREFIX}/{name.replace('_', '-')}": str(value)
            for name, value in values.items()
            if value is not None and value is not False
        }


@dataclass(frozen=True)
class Kwok:
    """A running kwok."""

    control_plane: ControlPlane

    def behave(
        self,
        run: str,
        component: str,
        behaviour: Behaviour | None = None,
        *,
        namespace: str | None = None,
        attempt: int | None = None,
        logs: Iterable[str] = (),
    ) -> None:
        """Say how the pods of a run behave that are created from now on.

        Args:
            run: the run's name.
            component: `prep` or `train`.
            behaviour: None: the usual one.
            namespace: of the run; None: of all runs of that name.
            attempt: this attempt alone; it goes before what was said without one.
            logs: lines that `kubectl logs` shows.
        """
        told = behaviour or Behaviour()
        labels = {LABEL_RUN: run, LABEL_COMPONENT: component}
        if attempt is not None:
            labels[LABEL_ATTEMPT] = str(attempt)
        name = _told(run, component, namespace, attempt)
        file = self._log_file(name)
        lines = list(logs)
        file.write_text(_text(lines), "utf-8")
        annotations = told.annotations() | {_TOLD: name, podlogs.ANNOTATION: str(file)}
        if told.message is None and told.exit_code != 0:
            tail = "\n".join(lines[-_MESSAGE_LINES:])[-_MESSAGE_CHARACTERS:]
            annotations[f"{PREFIX}/message"] = tail
        self.control_plane.apply(_told_stage(name, labels, namespace, annotations))

    def log(
        self,
        run: str,
        component: str,
        *lines: str,
        namespace: str | None = None,
        attempt: int | None = None,
    ) -> None:
        """Add lines to the log of the pods that `behave` was called for with the same words."""
        file = self._log_file(_told(run, component, namespace, attempt))
        with file.open("a", encoding="utf-8") as log:
            log.write(_text(lines))

    def change(self, pod: str, namespace: str, behaviour: Behaviour) -> None:
        """Change what a pod will do from now on: its times are counted again."""
        annotations = [f"{key}={value}" for key, value in behaviour.annotations().items()]
        self.control_plane.kubectl(
            *("annotate", "--overwrite", f"--namespace={namespace}", "pod", pod), *annotations
        )

    def add_nodes(self, *nodes: dict[str, Any]) -> None:
        """Add nodes; returns when they are ready."""
        self.control_plane.apply(*nodes)
        names = [node["metadata"]["name"] for node in nodes]
        self.control_plane.kubectl("wait", "--for=condition=Ready", "--timeout=60s", "node", *names)

    def _log_file(self, told: str) -> Path:
        return self.control_plane.folder / "pod-logs" / f"{told}.log"


def a100(name: str, gigabytes: int, *, gpus: int = 8) -> dict[str, Any]:
    """A node with A100 GPUs of 40 or 80 GB, labelled as NVIDIA's feature discovery does."""
    labels = {
        "nvidia.com/gpu.product": f"NVIDIA-A100-SXM4-{gigabytes}GB",
        "nvidia.com/gpu.memory": str(gigabytes * 1024),
        "nvidia.com/gpu.count": str(gpus),
        "nvidia.com/gpu.replicas": "1",
        "nvidia.com/gpu.family": "ampere",
        "nvidia.com/gpu.compute.major": "8",
        "nvidia.com/gpu.compute.minor": "0",
        "nvidia.com/gpu.machine": "DGX-A100",
        "nvidia.com/gpu.present": "true",
        "nvidia.com/gpu.sharing-strategy": "none",
        "nvidia.com/mig.capable": "true",
        "nvidia.com/mig.strategy": "single",
    }
    taint = {"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}
    capacity = {"cpu": "96", "memory": "1100Gi", "nvidia.com/gpu": str(gpus)}
    return _node(name, capacity, labels, [taint])


def cpu_node(name: str) -> dict[str, Any]:
    """A node of 16 CPUs and 64Gi without a GPU."""
    return _node(name, {"cpu": "16", "memory": "64Gi"}, {}, [])


def crd() -> Path:
    """The definition of the only kind of its own that we use."""
    module = module_dir("kwok", "sigs.k8s.io/kwok")
    return module / "kustomize" / "crd" / "bases" / "kwok.x-k8s.io_stages.yaml"


def start(control_plane: ControlPlane) -> Kwok:
    """Apply our stages and a default storage class, and start it; its CRD must be there."""
    control_plane.apply(_storage_class(), files=(_STAGES,))
    port = free_port()
    control_plane.processes.start(
        "kwok",
        (
            program("kwok"),
            f"--kubeconfig={control_plane.admin_kubeconfig}",
            "--config=/dev/null",  # not the user's
            "--enable-crds=Stage",
            f"--manage-nodes-with-annotation-selector={PREFIX}/node=fake",
            "--cidr=10.200.0.0/16",
            "--node-lease-duration-seconds=40",
            *(f"--node-ip={LOOPBACK}", f"--node-port={_start_pod_logs(control_plane)}"),
            f"--server-address={LOOPBACK}:{port}",
        ),
        ready=lambda: answers(f"http://{LOOPBACK}:{port}/healthz"),
    )
    control_plane.processes.wait("pod-logs")
    return Kwok(control_plane)


def _start_pod_logs(control_plane: ControlPlane) -> int:
    """The port on which the fake nodes' kubelet answers."""
    folder, port = control_plane.folder / "pki", free_port()
    (control_plane.folder / "pod-logs").mkdir()
    serving = pki.leaf(folder, control_plane.authority, "pod-logs", f"IP:{LOOPBACK}")
    token = folder / "admin.token"
    token.write_text(control_plane.tokens["admin"], "utf-8")
    command = (
        *(sys.executable, podlogs.__file__),
        *(f"--server={control_plane.url}", f"--port={port}", f"--token-file={token}"),
        *(f"--ca={control_plane.ca}", f"--certificate={serving.certificate}"),
        f"--key={serving.key}",
    )
    url = f"https://{LOOPBACK}:{port}/healthz"
    ready = partial(answers, url, control_plane.ca)
    control_plane.processes.start("pod-logs", command, ready=ready, wait=False)
    return port


def _told(run: str, component: str, namespace: str | None, attempt: int | None) -> str:
    """The name of what a test said: of its stage and of its log."""
    said = json.dumps([run, component, namespace, attempt])
    return f"told-{hashlib.sha256(said.encode()).hexdigest()[:12]}"


def _text(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


def _told_stage(
    name: str, labels: dict[str, str], namespace: str | None, annotations: dict[str, str]
) -> dict[str, Any]:
    """A stage that annotates a new pod."""
    expressions = [
        {"key": f'.metadata.annotations["{_TOLD}"]', "operator": "DoesNotExist"},
        {"key": ".status.phase", "operator": "In", "values": ["Pending"]},
    ]
    if namespace is not None:
        expressions.append({"key": ".metadata.namespace", "operator": "In", "values": [namespace]})
    # JSON is YAML; what a test says is data and no template: `{{` is written as an escape.
    template = json.dumps({"annotations": annotations}).replace("{{", "\\u007b\\u007b")
    return {
        "apiVersion": "kwok.x-k8s.io/v1alpha1",
        "kind": "Stage",
        "metadata": {"name": name},
        "spec": {
            "resourceRef": {"apiGroup": "v1", "kind": "Pod"},
            "selector": {"matchLabels": labels, "matchExpressions": expressions},
            # Kwok draws among stages that match, by weight; without one they are not drawn at all.
            # So the most specific one is, except once in a million times.
            "weight": 10 ** (6 * (len(labels) + len(expressions) - 4)),
            "steps": [{"patch": {"root": "metadata", "template": template}}],
        },
    }


def _storage_class() -> dict[str, Any]:
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {
            "name": "default",
            "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
        },
        "provisioner": f"{PREFIX}/volumes",  # a stage plays it
        "volumeBindingMode": "WaitForFirstConsumer",
    }


def _node(
    name: str, capacity: dict[str, str], labels: dict[str, str], taints: list[dict[str, str]]
) -> dict[str, Any]:
    general = {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux"}
    resources = capacity | {"pods": "1000", "ephemeral-storage": "2Ti"}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "annotations": {f"{PREFIX}/node": "fake"},
            "labels": general | {"kubernetes.io/arch": "amd64"} | labels,
        },
        "spec": {"taints": taints},
        "status": {"capacity": resources, "allocatable": resources},
    }
