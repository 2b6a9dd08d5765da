"""kwok: simulated nodes with GPUs, and pods on them that behave as configured.

The stages of `stages.yaml` give every pod a life of a second that succeeds, unless its annotations
say otherwise: each field of `Behaviour` is one, `run_for` as `test.qinstruct.dev/run-for`. Users
cannot annotate the pods of a run; for them `behave` lets a webhook do it (`kwok_helper`).
"""

import base64
import json
import sys
from collections.abc import Iterable
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any, Final

from cluster.harness import kwok_helper, pki
from cluster.harness.api_request import DRY_RUN, send_request
from cluster.harness.control_plane import LOOPBACK, ControlPlane, answers
from cluster.harness.processes import free_port, wait_until
from cluster.harness.programs import program
from qinstruct_operator.constants import LABEL_COMPONENT, LABEL_RUN

PREFIX: Final = "test.qinstruct.dev"
_STAGES: Final = Path(__file__).with_name("stages.yaml")
_MESSAGE_LINES: Final = 80  # of the log, as a kubelet takes them for a termination message
_MESSAGE_CHARACTERS: Final = 2048
_HELPER: Final = "kwok-helper"


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
        chosen = behaviour or Behaviour()
        file = self._behaviour_file(run, component, namespace, attempt)
        log = file.with_suffix(".log")
        lines = list(logs)
        log.write_text(_text(lines), "utf-8")
        annotations = chosen.annotations() | {kwok_helper.LOG: str(log)}
        if chosen.message is None and chosen.exit_code != 0:
            tail = "\n".join(lines[-_MESSAGE_LINES:])[-_MESSAGE_CHARACTERS:]
            annotations[f"{PREFIX}/message"] = tail
        written = file.with_suffix(".new")
        written.write_text(json.dumps(annotations), "utf-8")
        written.rename(file)

    def log(
        self,
        run: str,
        component: str,
        *lines: str,
        namespace: str | None = None,
        attempt: int | None = None,
    ) -> None:
        """Add lines to the log of the pods that `behave` was called for with the same words."""
        file = self._behaviour_file(run, component, namespace, attempt)
        with file.with_suffix(".log").open("a", encoding="utf-8") as log:
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

    def _behaviour_file(
        self, run: str, component: str, namespace: str | None, attempt: int | None
    ) -> Path:
        folder = _behaviours(self.control_plane)
        number = None if attempt is None else str(attempt)
        return kwok_helper.behaviour_file(folder, run, component, namespace, number)


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


def start(control_plane: ControlPlane) -> Kwok:
    """Start it and its helper, and add a default storage class."""
    helper, port = free_port(), free_port()
    control_plane.processes.start(
        "kwok",
        (
            program("kwok"),
            f"--kubeconfig={control_plane.admin_kubeconfig}",
            f"--config={_STAGES}",
            f"--manage-nodes-with-annotation-selector={PREFIX}/node=fake",
            "--cidr=10.200.0.0/16",
            "--node-lease-duration-seconds=40",
            *(f"--node-ip={LOOPBACK}", f"--node-port={helper}"),
            f"--server-address={LOOPBACK}:{port}",
        ),
        ready=lambda: answers(f"http://{LOOPBACK}:{port}/healthz"),
        wait=False,
    )
    _start_helper(control_plane, helper)
    control_plane.apply(_storage_class(), _webhook(control_plane, helper))
    kwok = Kwok(control_plane)
    _wait_for_webhook(kwok)
    control_plane.processes.wait("kwok")
    return kwok


def _start_helper(control_plane: ControlPlane, port: int) -> None:
    folder, behaviours = control_plane.folder / "pki", _behaviours(control_plane)
    behaviours.mkdir()
    serving = pki.leaf(folder, control_plane.authority, _HELPER, f"IP:{LOOPBACK}")
    token = folder / "admin.token"
    token.write_text(control_plane.tokens["admin"], "utf-8")
    command = (
        *(sys.executable, kwok_helper.__file__),
        *(f"--server={control_plane.url}", f"--port={port}", f"--token-file={token}"),
        *(f"--ca={control_plane.ca}", f"--certificate={serving.certificate}"),
        *(f"--key={serving.key}", f"--behaviours={behaviours}"),
    )
    url = f"https://{LOOPBACK}:{port}/healthz"
    ready = partial(answers, url, control_plane.ca)
    control_plane.processes.start(_HELPER, command, ready=ready)


def _wait_for_webhook(kwok: Kwok) -> None:
    """Wait until the API server calls it for new pods."""
    labels = {LABEL_RUN: "probe", LABEL_COMPONENT: "probe"}
    pod = {
        "metadata": {"name": "probe", "labels": labels},
        "spec": {"containers": [{"name": "probe", "image": "probe"}]},
    }
    kwok.behave("probe", "probe")

    def is_annotated() -> bool:
        path = f"/api/v1/namespaces/default/pods?{DRY_RUN}"
        made = send_request(kwok.control_plane, "POST", path, pod).content
        return kwok_helper.LOG in made["metadata"].get("annotations", {})

    wait_until(is_annotated, "new pods are annotated with their behaviour")


def _behaviours(control_plane: ControlPlane) -> Path:
    return control_plane.folder / "behaviours"


def _text(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


def _webhook(control_plane: ControlPlane, port: int) -> dict[str, Any]:
    """Annotates the pods of runs with their behaviour as they are created."""
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]}
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": _HELPER},
        "webhooks": [
            {
                "name": PREFIX,
                "admissionReviewVersions": ["v1"],
                "sideEffects": "None",
                "rules": [rule | {"operations": ["CREATE"]}],
                "objectSelector": {"matchExpressions": [{"key": LABEL_RUN, "operator": "Exists"}]},
                "clientConfig": {
                    "url": f"https://{LOOPBACK}:{port}{kwok_helper.WEBHOOK}",
                    "caBundle": base64.b64encode(control_plane.ca.read_bytes()).decode(),
                },
            }
        ],
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
