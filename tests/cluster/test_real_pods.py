"""A tiny LLaVA is trained in real pods of the built images, by an operator that runs in one too."""

import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from safetensors.numpy import load_file
from transformers import LlavaForConditionalGeneration

from cluster.clients.runs import WatchedRuns
from cluster.clients.watch import open_watch
from cluster.harness import needs
from cluster.harness.api_request import runs_path
from cluster.harness.control_plane import NODE_NAME
from cluster.node import images as node_images
from cluster.node import real_node as node
from cluster.node.disturbed_run import PATIENCE, DisturbedRun
from cluster.node.real_node import RealCluster
from qinstruct_operator.constants import USER_ID, VERSION
from qinstruct_trainer.contract import output_files
from qinstruct_trainer.contract.contents import Contents
from qinstruct_trainer.contract.events import Evaluation
from qinstruct_trainer.train.metrics.metrics_file import read_steps
from support.helm_chart import CHART, RELEASE, HelmError, helm, why_not_ready
from support.helm_chart import NAMESPACE as SYSTEM
from support.operator_documents import SAMPLES
from support.prep.file_server import serve
from support.prep.miniature import ARCHIVE, LABELS, write_miniature

RUN = "run-tiny"
NAMESPACE = "team"
PROBES = "probes"
ENDED = ("Complete", "Failed", "Rejected")
STANDS_STILL = 15 * 60


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
    """Poll every two seconds until the run has ended, or stands still for a quarter of an hour.

    Returns:
        The lines seen, without repetitions.
    """
    changed = started = time.monotonic()
    rows: list[Row] = []
    while not rows or rows[-1].phase not in ENDED:
        row = read_row(cluster)
        assert time.monotonic() - changed < STANDS_STILL, f"the run stands still: {row}"
        if rows[-1:] != [row]:
            changed = time.monotonic()
            rows.append(row)
            print(f"{time.monotonic() - started:5.0f} s {row.phase:12} {row.progress}")  # noqa: T201
        time.sleep(2)
    return rows


@pytest.fixture(scope="module")
def cluster(request: pytest.FixtureRequest) -> Iterator[RealCluster]:
    """A real node, and the operator in a pod of it."""
    with needs.reporting():
        started = RealCluster.start()
    failed = True  # whoever does not come to the first test
    try:
        install_in_pod(started)
        yield started
        failed = request.session.testsfailed > 0
    finally:
        started.stop(keep_logs=failed)
        if failed:
            print(f"\nlogs of the real cluster: {started.folder}")  # noqa: T201 - for who reads it


@pytest.fixture(scope="module")
def trained(cluster: RealCluster) -> Trained:
    cluster.create_namespace(NAMESPACE)
    cluster.create_namespace(PROBES)
    kubectl(cluster, "apply", f"--filename={SAMPLES / f'{RUN}.yaml'}")
    return Trained(cluster, follow(cluster))


def install_in_pod(cluster: RealCluster) -> None:
    """`helm install`, with the values that this cluster needs: it has no services and no GPUs.

    On two cores there is also no room for the operator's request beside that of the training.
    """
    server = urlsplit(cluster.api.url)
    address = {"HOST": server.hostname, "PORT": str(server.port)}
    values = {
        "images": {"trainer": {"repository": node_images.TARGETS["train-cpu"]}},
        "settings": {
            "privateNetworks": [f"{cluster.namespaces.machine_address}/32"],
            "progressSeconds": 2,
            "trainerAttention": ["sdpa", "eager"],
        },
        "extraEnv": [{"name": f"KUBERNETES_SERVICE_{k}", "value": v} for k, v in address.items()],
        "resources": {"requests": {"cpu": None}},
    }
    cluster.create_namespace(SYSTEM)
    where = f"--namespace={SYSTEM}"
    helm(
        *("install", RELEASE, CHART, where, "--take-ownership"),  # of the CRD, which is there
        kubeconfig=cluster.api.admin_kubeconfig,
        values=values,
    )
    cluster.kubectl("rollout", "status", f"deployment/{RELEASE}", where, "--timeout=120s")


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


IMAGE_OF = {"prep": "prep", "pytorch": "train-cpu"}


def test_the_pods_ran_the_images_that_were_built(trained: Trained) -> None:
    pods = trained.get("pods")["items"]
    ran = {c["name"]: c["image"] for pod in pods for c in pod["status"]["containerStatuses"]}
    assert ran == {name: node_images.image(target) for name, target in IMAGE_OF.items()}
    account = json.loads(
        trained.cluster.kubectl("get", "pods", f"--namespace={SYSTEM}", "--output=json")
    )
    (operator,) = account["items"]
    (container,) = operator["status"]["containerStatuses"]
    assert container["image"] == node_images.image("operator")
    assert container["ready"]
    assert container["restartCount"] == 0


UNKNOWN_USER = 1_234_567
"""A user that no image has heard of, as OpenShift gives each namespace its own."""

PROBE = """
qinstruct --version --json
echo "user $(id -u)"; grep -E '^(CapEff|CapBnd|NoNewPrivs):' /proc/self/status
for folder in / /opt/app /opt/qinstruct "$HOME"; do
    touch "$folder/probe" 2> /dev/null && echo "writable $folder"
done
for name in cc gcc g++ ld make; do command -v "$name"; done
python -c "import importlib.util as i; print('torch', i.find_spec('torch') is not None)"
"""


@pytest.mark.parametrize("target", node_images.TARGETS)
def test_an_image_runs_as_any_user_on_a_read_only_root_and_says_what_it_has(
    trained: Trained, target: str
) -> None:
    name = f"probe-{target}"
    container = {
        "name": "probe",
        "image": node_images.image(target),
        "command": ["sh", "-c", PROBE],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [{"name": "scratch", "mountPath": "/tmp"}],
    }
    spec = {
        "containers": [container],
        "restartPolicy": "Never",
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": UNKNOWN_USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "volumes": [{"name": "scratch", "emptyDir": {}}],
    }
    metadata = {"name": name, "namespace": PROBES}
    trained.cluster.api.apply(
        {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
    )
    ended = "--for=jsonpath={.status.phase}=Succeeded"
    pod = (f"pod/{name}", f"--namespace={PROBES}")
    trained.cluster.kubectl("wait", *pod, ended, "--timeout=120s")
    said = trained.cluster.kubectl("logs", *pod)

    contents = Contents.model_validate_json(said[: said.index("\n}") + 2])
    is_operator = target == "operator"
    assert contents.attention == (() if is_operator else ("sdpa", "eager"))
    assert contents.packages["kopf" if is_operator else "torch"]
    assert contents.cuda is None
    rest = said[said.index("\n}") + 3 :].split()
    assert rest == [
        *("user", str(UNKNOWN_USER)),
        *("CapEff:", "0" * 16, "CapBnd:", "0" * 16, "NoNewPrivs:", "1"),
        *("writable", "/tmp"),
        *("torch", str(not is_operator)),
    ]


def test_the_operators_image_is_small() -> None:
    base, operator = (node_images.archive(target).stat().st_size for target in ("base", "operator"))
    assert operator - base < 200_000_000  # the archives are not compressed


def test_the_list_of_an_images_contents_has_its_packages_of_both_kinds() -> None:
    listed = {one["purl"].split("?")[0] for one in node_images.sbom("operator")["components"]}
    assert f"pkg:pypi/qinstruct@{VERSION}" in listed
    assert f"pkg:pypi/kopf@{version('kopf')}" in listed
    assert any(one.startswith("pkg:deb/debian/libc6@2.") for one in listed)
    assert not any(one.startswith("pkg:pypi/torch@") for one in listed)


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


DISTURBED = "disturbed"
LEFT_ALONE = "left-alone"


def test_a_run_that_is_disturbed_ends_in_the_same_bits_as_one_that_is_not(
    cluster: RealCluster, tmp_path: Path
) -> None:
    cluster.create_namespace(DISTURBED)
    write_miniature(tmp_path)
    with (
        serve(tmp_path, cluster.namespaces.machine_address) as server,
        open_watch(cluster.api, runs_path(DISTURBED)) as watch,
    ):
        runs = WatchedRuns(cluster, DISTURBED, watch)
        spec = {
            "size": "Tiny",
            "strategy": "after",
            "training": {"globalBatchSize": 4, "epochs": 24},  # 36 records: 216 steps
            "checkpoint": {"everyMinutes": 0.05},
            "recovery": {"backoffSeconds": 10},
            "data": {
                "sources": {
                    "q-instruct-labels": {"url": f"{server.url}/{LABELS}"},
                    "q-instruct-images": {"url": f"{server.url}/{ARCHIVE}"},
                }
            },
        }
        runs.apply(LEFT_ALONE, spec)
        runs.wait_phase(LEFT_ALONE, "Complete", PATIENCE)
        runs.apply(DISTURBED, spec)
        for cost in DisturbedRun(cluster, runs, DISTURBED).disturb():
            print(cost)  # noqa: T201 - docs/recovery.md has these figures
        runs.wait_phase(DISTURBED, "Complete", PATIENCE)
        assert_it_was_told(runs, DISTURBED)
    one, other = (cluster.files_of(DISTURBED, f"{name}-output") for name in (LEFT_ALONE, DISTURBED))
    assert_same_bits(one, other)


def assert_it_was_told(runs: WatchedRuns, name: str) -> None:
    """What docs/recovery.md says that a user sees of a disturbed run, and no more attempts."""
    shown = runs.statuses(name)
    recovery = shown[-1]["recovery"]
    counted = [shown[-1]["attempt"], recovery["retries"], recovery["disruptions"]]
    assert counted == [2, 0, 1]
    (failure,) = recovery["failures"]
    assert (failure["attempt"], failure["kind"]) == (1, "Disruption")
    assert runs.names("pytorchjobs") >= {f"PyTorchJob/{name}-1", f"PyTorchJob/{name}-2"}
    assert {"Restarting", "Recovering", "Suspended"} <= {each.get("phase") for each in shown}
    training = [each["training"] for each in shown if "training" in each]
    assert {each.get("restarts") for each in training} == {None, 1}
    assert any(each.get("lostSeconds", 0) > 5 for each in training)
    events = [each for each in runs.get("events") if each["involvedObject"]["name"] == name]
    told = {(each["type"], each["reason"]) for each in events}
    assert {("Warning", "Restarting"), ("Warning", "Recovering")} <= told
    assert {("Normal", "Suspended"), ("Normal", "Resumed")} <= told
    operator = runs.cluster.kubectl("get", "pods", f"--namespace={SYSTEM}", "--output=json")
    (pod,) = json.loads(operator)["items"]
    assert pod["status"]["containerStatuses"][0]["restartCount"] == 1


def assert_same_bits(one: Path, other: Path) -> None:
    """Of every weight of two models, and of the loss of every step, each of which is there once."""
    weights, others = (load_file(path / "model" / "model.safetensors") for path in (one, other))
    assert weights.keys() == others.keys()
    for name, tensor in weights.items():
        assert tensor.dtype == others[name].dtype, name
        assert tensor.tobytes() == others[name].tobytes(), name
    losses, other_losses = (
        [(step.step, step.loss) for step in read_steps(path / output_files.METRICS)]
        for path in (one, other)
    )
    assert losses == other_losses


def test_a_wrong_image_of_the_operator_is_told_by_the_command_of_the_notes(
    trained: Trained,
) -> None:
    assert_a_wrong_image_is_told(trained.cluster)


def assert_a_wrong_image_is_told(cluster: RealCluster) -> None:
    cluster.create_namespace("wrong")
    values = {
        "crds": {"install": False},
        "admissionPolicy": {"enabled": False},
        "images": {"registry": "127.0.0.1:1"},  # nothing listens there
        "resources": {"requests": {"cpu": None}},
    }
    where = ("--namespace=wrong", "--wait", "--timeout=10s")
    admin = cluster.api.admin_kubeconfig
    with pytest.raises(HelmError, match="context deadline exceeded"):
        helm("install", "wrong", CHART, *where, kubeconfig=admin, values=values)
    notes = helm("get", "notes", "wrong", "--namespace=wrong", kubeconfig=admin)
    _, *command = why_not_ready(notes).split()
    assert 'Failed to pull image "127.0.0.1:1/operator:' in cluster.kubectl(*command)
