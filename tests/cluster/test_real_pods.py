"""A tiny LLaVA is trained in real pods after `kubectl apply`."""

import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from transformers import LlavaForConditionalGeneration

from cluster.clients.operator_process import install, operator_process
from cluster.harness.control_plane import NODE_NAME
from cluster.node import real_node as node
from cluster.node.real_node import RealCluster
from qinstruct_operator.constants import USER_ID
from qinstruct_operator.settings import Settings
from qinstruct_trainer.contract.events import Evaluation
from support.operator_documents import SAMPLES

RUN = "run-tiny"
NAMESPACE = "team"
ENDED = ("Complete", "Failed", "Rejected")


CORES = len(os.sched_getaffinity(0))
WHY_NOT = (
    node.why_not()
    if CORES >= 2
    else f"the training pod of {RUN} asks for 2 CPUs, and this machine has {CORES}"
)

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.slow,
    pytest.mark.timeout(3600),
    pytest.mark.skipif(WHY_NOT is not None, reason=WHY_NOT or ""),
]


@dataclass(frozen=True)
class Row:
    """A line of `kubectl get qit`."""

    phase: str
    progress: str


@dataclass(frozen=True)
class Trained:
    """A run that has ended, and all that `kubectl get qit` showed meanwhile."""

    cluster: RealCluster
    rows: list[Row]

    def get(self, *arguments: str) -> Any:
        return json.loads(kubectl(self.cluster, "get", *arguments, "--output=json"))


def kubectl(cluster: RealCluster, *arguments: str) -> str:
    return cluster.kubectl(f"--namespace={NAMESPACE}", *arguments)


def read_row(cluster: RealCluster) -> Row:
    """The line below the headings; a cell can be empty."""
    heading, line = kubectl(cluster, "get", "qit", RUN).splitlines()
    starts = [heading.index(name) for name in heading.split()]
    cells = (line[a:b].strip() for a, b in zip(starts, [*starts[1:], None], strict=True))
    row = dict(zip(heading.split(), cells, strict=True))
    return Row(row["PHASE"], row["PROGRESS"])


def follow(cluster: RealCluster) -> list[Row]:
    """Poll every two seconds until the run has ended; the lines seen, without repetitions."""
    started = time.monotonic()
    rows: list[Row] = []
    while not rows or rows[-1].phase not in ENDED:
        row = read_row(cluster)
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


def test_progress_grows(trained: Trained) -> None:
    assert trained.rows[-1] == Row("Complete", "100%"), trained.get("qit", RUN)["status"]
    assert any(row.progress for row in trained.rows if row.phase == "Preparing")
    shown = [row.progress for row in trained.rows if row.phase == "Training" and row.progress]
    percents = [int(progress.removesuffix("%")) for progress in shown]
    assert percents == sorted(percents)
    assert len(set(percents)) >= 10


def test_restricted_pods_ran_on_the_real_node(trained: Trained) -> None:
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
