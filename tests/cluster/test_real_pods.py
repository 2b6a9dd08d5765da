"""The promise of the operator: `kubectl apply`, and a tiny LLaVA is trained in real pods."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from transformers import LlavaForConditionalGeneration

from cluster import node, node_namespaces
from cluster.control_plane import NODE_NAME
from cluster.node import RealCluster
from cluster.operator_process import install, operator_process
from cluster.processes import wait_until
from qinstruct_operator.constants import USER_ID
from qinstruct_operator.settings import Settings
from qinstruct_trainer.events import Evaluation
from support.operator_documents import SAMPLES

RUN = "run-tiny"
NAMESPACE = "team"
ENDED = ("Complete", "Failed", "Invalid")
TESTS = Path(__file__).parents[1]


def why_not() -> str | None:
    if os.environ.get("QINSTRUCT_SKIP_CLUSTER") == "1":
        return "QINSTRUCT_SKIP_CLUSTER=1: tests that need a real cluster are left out"
    cores = len(os.sched_getaffinity(0))
    if cores < 2:
        return f"the training pod of {RUN} asks for 2 CPUs, and this machine has {cores}"
    return node.why_not()


WHY_NOT = why_not()

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.slow,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(WHY_NOT is not None, reason=WHY_NOT or ""),
]


@dataclass(frozen=True)
class Row:
    """A line of `kubectl get qit`, as a person sees it."""

    phase: str
    progress: str


@dataclass(frozen=True)
class Trained:
    """A run that has ended, and all that `kubectl get qit` has shown on the way."""

    cluster: RealCluster
    rows: list[Row]

    def get(self, *arguments: str) -> Any:
        return json.loads(kubectl(self.cluster, "get", *arguments, "--output=json"))


def kubectl(cluster: RealCluster, *arguments: str) -> str:
    return cluster.kubectl(f"--namespace={NAMESPACE}", *arguments)


def look(cluster: RealCluster) -> Row:
    """What stands below the headings; a cell can be empty."""
    heading, line = kubectl(cluster, "get", "qit", RUN).splitlines()
    starts = [heading.index(name) for name in heading.split()]
    cells = (line[a:b].strip() for a, b in zip(starts, [*starts[1:], None], strict=True))
    row = dict(zip(heading.split(), cells, strict=True))
    return Row(row["PHASE"], row["PROGRESS"])


def follow(cluster: RealCluster) -> list[Row]:
    """Look every other second until the run has ended; what was seen, each once."""
    started = time.monotonic()
    rows: list[Row] = []
    while not rows or rows[-1].phase not in ENDED:
        row = look(cluster)
        if rows[-1:] != [row]:
            rows.append(row)
            print(f"{time.monotonic() - started:5.0f} s {row.phase:12} {row.progress}")  # noqa: T201
        time.sleep(2)
    return rows


@pytest.fixture(scope="module")
def trained(request: pytest.FixtureRequest) -> Iterator[Trained]:
    settings = Settings()
    cluster = RealCluster.start(settings.prep_image, settings.trainer_image)
    try:
        kubeconfig = cluster.api.kubeconfig_for(install(cluster.api))
        environment = {"QINSTRUCT_PROGRESS_SECONDS": "2"}
        folder = cluster.folder / "operator"
        with operator_process(folder, kubeconfig, environment=environment):
            cluster.create_namespace(NAMESPACE)
            kubectl(cluster, "apply", f"--filename={SAMPLES / f'{RUN}.yaml'}")
            yield Trained(cluster, follow(cluster))
    finally:
        failed = request.session.testsfailed > 0
        cluster.stop(keep_logs=failed)
        if failed:
            print(f"\nlogs of the real cluster: {cluster.folder}")  # noqa: T201 - for who reads it


def test_progress_is_seen_to_grow(trained: Trained) -> None:
    assert trained.rows[-1] == Row("Complete", "100%"), trained.get("qit", RUN)["status"]
    assert any(row.progress for row in trained.rows if row.phase == "Preparing")
    shown = [row.progress for row in trained.rows if row.phase == "Training" and row.progress]
    percents = [int(progress.removesuffix("%")) for progress in shown]
    assert percents == sorted(percents)
    assert len(set(percents)) >= 10


def test_restricted_pods_of_the_real_node_did_it(trained: Trained) -> None:
    namespace = trained.get("namespace", NAMESPACE)
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    pods = sorted(trained.get("pods")["items"], key=lambda pod: str(pod["status"]["startTime"]))
    owners = [pod["metadata"]["ownerReferences"][0]["kind"] for pod in pods]
    assert owners == ["Job", "PyTorchJob"]
    for pod in pods:
        assert pod["spec"]["nodeName"] == NODE_NAME
        (container,) = pod["status"]["containerStatuses"]
        assert container["containerID"].startswith("containerd://")
        assert container["state"]["terminated"]["exitCode"] == 0
        assert container["restartCount"] == 0


def test_the_model_in_the_output_claim_loads_and_has_learnt(trained: Trained) -> None:
    assert trained.get("qit", RUN)["status"]["model"] == f"{RUN}-output:/model"
    output = trained.cluster.files_of(NAMESPACE, f"{RUN}-output")
    model = output / "model"
    assert {path.stat().st_uid for path in (model, *model.iterdir())} == {USER_ID}

    # With output_loading_info it returns a pair, which its annotation does not say.
    loaded: Any = LlavaForConditionalGeneration.from_pretrained(model, output_loading_info=True)
    _, loading = loaded
    assert not loading["missing_keys"]
    assert not loading["unexpected_keys"]

    found = Evaluation.model_validate_json((output / "evaluation.json").read_bytes())
    assert found.trained.questions >= 300
    assert found.trained.accuracy >= found.trained.majority + 0.20


ONE_POD = """
import time
from cluster.node import RealCluster
from cluster.node_containerd import SANDBOX_IMAGE

cluster = RealCluster.start()
pod = ("run", "one", f"--image={SANDBOX_IMAGE}", "--restart=Never", "--command", "--")
cluster.kubectl(*pod, "sleep", "7777")
cluster.kubectl("wait", "pod/one", "--for=condition=Ready", "--timeout=60s")
print(cluster.namespaces.pid, cluster.folder, flush=True)
time.sleep(600)
"""


def traces(pid: str, folder: str) -> set[str]:
    """What there still is of a node."""
    commands = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # ended since
            commands.append(file.read_text("utf-8", errors="replace"))
    cgroups = Path("/sys/fs/cgroup")
    found = {
        "namespaces": Path("/proc", pid).exists(),
        "pod": "sleep\0007777\0" in commands,
        "program": any(folder in command for command in commands),
        "mount": folder in Path("/proc/self/mounts").read_text("utf-8"),
        "interface": Path(f"/sys/class/net/qi{pid}").exists(),
        "cgroup": any(any(cgroups.glob(f"{level}qinstruct-node-{pid}")) for level in ("", "*/")),
    }
    return {name for name, is_there in found.items() if is_there}


def test_a_killed_node_leaves_nothing_that_runs_or_is_mounted() -> None:
    environment = os.environ | {"PYTHONPATH": str(TESTS)}
    command = [sys.executable, "-c", ONE_POD]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as harness:
        assert harness.stdout
        pid, folder = harness.stdout.readline().split()
        assert traces(pid, folder) == {"namespaces", "pod", "program", "interface", "cgroup"}
        harness.kill()
    wait_until(lambda: traces(pid, folder) == {"cgroup"}, "the rest of the node is gone", 10)
    node_namespaces.remove_cgroups()  # as the next node does
    assert not traces(pid, folder)
    shutil.rmtree(folder)
