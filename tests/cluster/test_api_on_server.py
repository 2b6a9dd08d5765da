"""The API on a real API server: installing, explaining and changing with kubectl."""

import json
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from cluster.harness import control_plane
from cluster.harness.api_request import APPLY, DRY_RUN, MERGE, STRICT, runs_path, send_request
from cluster.harness.control_plane import ControlPlane
from cluster.harness.processes import Processes, wait_until
from cluster.harness.testcluster import TestCluster
from qinstruct_operator.api.changes import ANYTIME
from qinstruct_operator.api.crd import crd
from support.operator_documents import ROOT, SAMPLES, document

pytestmark = pytest.mark.cluster

NAMESPACE: Final = "api"
SAMPLE_NAMESPACE: Final = "training"  # that of all-fields.yaml
SCHEMA: Final[dict[str, Any]] = crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
SPEC: Final[dict[str, Any]] = SCHEMA["properties"]["spec"]
STATUS: Final[dict[str, Any]] = SCHEMA["properties"]["status"]


@pytest.fixture(scope="module")
def api(test_cluster: TestCluster) -> Iterator[ControlPlane]:
    for name in (NAMESPACE, SAMPLE_NAMESPACE):
        test_cluster.create_namespace(name)
    yield test_cluster.api
    test_cluster.kubectl("delete", "namespace", NAMESPACE, SAMPLE_NAMESPACE, "--wait=false")


@pytest.fixture
def empty(test_cluster: TestCluster) -> Iterator[ControlPlane]:
    """A control plane of its own without our manifests."""
    with tempfile.TemporaryDirectory() as folder:
        processes = Processes(Path(folder))
        try:
            yield control_plane.start(processes)
        finally:
            processes.close()


def test_client_side_and_server_side_apply_install_everything(empty: ControlPlane) -> None:
    base = ROOT / "manifests" / "base"
    client = empty.kubectl("apply", "-k", base)
    server = empty.kubectl("apply", "--server-side", "-k", base)
    names = [line.split()[0] for line in client.splitlines()]
    assert client == "".join(f"{name} created\n" for name in names)
    assert server == "".join(f"{name} serverside-applied\n" for name in names)
    assert "customresourcedefinition.apiextensions.k8s.io/qinstructtrainings.qinstruct.dev" in names
    empty.kubectl("wait", "--for=condition=Established", "--timeout=30s", "crd", "--all")
    assert empty.kubectl("get", "qit", "--all-namespaces") == ""


@pytest.mark.parametrize("file", sorted(SAMPLES.glob("*.yaml")), ids=lambda file: file.stem)
def test_a_sample_is_accepted(api: ControlPlane, file: Path) -> None:
    said = api.kubectl("apply", "--dry-run=server", "-f", file)
    assert said == f"qinstructtraining.qinstruct.dev/{run_name(file)} created (server dry run)\n"


def run_name(file: Path) -> str:
    """The name of the run in a sample."""
    found = re.search(r"^  name: (\S+)$", file.read_text("utf-8"), re.MULTILINE)
    assert found
    return found[1]


def objects(schema: dict[str, Any], path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every object of a schema that has fields, with its path as kubectl names it."""
    if "properties" in schema:
        yield path, schema["properties"]
        for name, child in schema["properties"].items():
            yield from objects(child, f"{path}.{name}")
    for key in ("items", "additionalProperties"):
        if key in schema:
            yield from objects(schema[key], path)


OBJECTS: Final = dict((*objects(SPEC, "spec"), *objects(STATUS, "status")))


@pytest.mark.parametrize("path", OBJECTS)
def test_kubectl_explains_every_field(api: ControlPlane, path: str) -> None:
    """Each field is shown with our description, and no other field is shown."""
    said = api.kubectl("explain", f"qinstructtraining.{path}")
    _, _, fields = said.partition("FIELDS:\n")
    explained = {
        name: " ".join(text.split())
        for name, text in re.findall(r"^  (\w+)\t[^\n]*\n(.*?)(?=^  \w+\t|\Z)", fields, re.M | re.S)
    }
    assert explained.keys() == OBJECTS[path].keys()
    for name, field in OBJECTS[path].items():
        assert field["description"] in explained[name], name


FORBIDDEN: Final = "Forbidden: cannot change after creation; delete the run and create it again"
TOO_LATE: Final = (
    "Forbidden: cannot change once the training workload exists or the run has ended; delete the "
    "run and create it again: prepared data are kept, and checkpoints unless output.retain is false"
)
BEFORE: Final[dict[str, Any]] = {"data": {"missingImages": "Drop"}, "training": {"epochs": 1}}


def said(type_: str, status: str, reason: str = "Any") -> dict[str, Any]:
    """A condition as it is stored."""
    when = "2026-11-24T11:15:59Z"
    return {
        "type": type_,
        "status": status,
        "reason": reason,
        "message": "any",
        "lastTransitionTime": when,
    }


IMMUTABLE: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    "another size": ("size", {"size": "13B"}),
    "another strategy": ("strategy", {"strategy": "mix"}),
    "another value in data": ("data", {"data": {"missingImages": "Fail"}}),
    "one more value in data": ("data", {"data": {"maxMissing": 5}}),
    "data are removed": ("data", {"data": None}),
    "another value in training": ("training", {"training": {"epochs": 2}}),
    "a value of training is removed": ("training", {"training": {"epochs": None}}),
    "training is removed": ("training", {"training": None}),
    "model is added": ("model", {"model": {"base": "me/llava"}}),
    "an empty model is added": ("model", {"model": {}}),
    "output is added": ("output", {"output": {"size": "1Ti"}}),
    "prep is added": ("prep", {"prep": {"nodeSelector": {"zone": "a"}}}),
    "more checkpoints than the claim is made for": ("checkpoint.keep", {"checkpoint": {"keep": 7}}),
}
MUTABLE: Final[dict[str, Any]] = {
    "gpu": {"perNode": 4},
    "checkpoint": {"everyMinutes": 5},
    "recovery": {"maxRetries": 9},
    "scheduling": {"queueName": "gpus", "nodeSelector": {"zone": "a"}},
    "budget": {"maxGpuHours": 10},
    "tracking": {"tensorboard": True},
    "evaluation": {"qbench": {"split": "test"}},
    "backend": "Job",
    "patches": [{"target": "Prep", "patch": {"spec": {"hostNetwork": False}}}],
}


@pytest.fixture(scope="module")
def run(api: ControlPlane) -> str:
    """Path of a run that has two groups, and whose updates are dry runs."""
    created = send_request(api, "POST", runs_path(NAMESPACE), document("changing", **BEFORE))
    assert created.ok, created.content
    return f"{runs_path(NAMESPACE, 'changing')}?{DRY_RUN}&{STRICT}"


@pytest.mark.parametrize("case", IMMUTABLE)
def test_what_decides_the_model_cannot_change(api: ControlPlane, run: str, case: str) -> None:
    field, change = IMMUTABLE[case]
    answer = send_request(api, "PATCH", run, {"spec": change}, content_type=MERGE)
    assert answer.code == 422
    assert answer.causes == [(f"spec.{field}", FORBIDDEN)]


@pytest.mark.parametrize("field", MUTABLE)
def test_what_shapes_operations_can_change(api: ControlPlane, run: str, field: str) -> None:
    answer = send_request(api, "PATCH", run, {"spec": {field: MUTABLE[field]}}, content_type=MERGE)
    assert answer.ok, answer.content
    assert answer.content["metadata"]["generation"] == 2


STAGES: Final[dict[str, tuple[bool, dict[str, Any]]]] = {
    "nothing is created": (True, {"conditions": [said("Accepted", "False")]}),
    "prep waits or runs": (True, {"conditions": [said("Prepared", "False")]}),
    "prepared, and the PyTorchJob refused": (True, {"conditions": [said("Prepared", "True")]}),
    "training waits": (False, {"conditions": [said("Scheduled", "False")], "attempt": 1}),
    "training runs": (False, {"conditions": [said("Running", "True")], "attempt": 1}),
    "prep has failed": (False, {"conditions": [said("Failed", "True")]}),
    "complete": (False, {"conditions": [said("Complete", "True")], "attempt": 2}),
}


@pytest.fixture(scope="module")
def staged(api: ControlPlane) -> dict[str, str]:
    """Paths of runs at each stage."""
    paths: dict[str, str] = {}
    for index, (stage, (_, status)) in enumerate(STAGES.items()):
        raw = document(f"stage-{index}", gpu={"perNode": 8}, **BEFORE)
        created = send_request(api, "POST", runs_path(NAMESPACE), raw).content
        path = runs_path(NAMESPACE, raw["metadata"]["name"])
        written = send_request(api, "PUT", f"{path}/status", created | {"status": status})
        assert written.ok, written.content
        paths[stage] = path
    return paths


@pytest.mark.parametrize("stage", STAGES)
def test_what_shapes_training_can_change_until_it_exists(
    api: ControlPlane, staged: dict[str, str], stage: str
) -> None:
    may_change, _ = STAGES[stage]
    for field, value in MUTABLE.items():
        path = f"{staged[stage]}?{DRY_RUN}&{STRICT}"
        answer = send_request(api, "PATCH", path, {"spec": {field: value}}, content_type=MERGE)
        assert answer.ok == may_change, (field, answer.content)
        if not may_change:
            assert answer.causes == [(f"spec.{field}", TOO_LATE)]
    suspended = {"spec": {"suspend": True}}
    assert send_request(api, "PATCH", path, suspended, content_type=MERGE).ok


@pytest.mark.parametrize(
    ("refused", "status"),
    [
        (True, {"conditions": [said("Accepted", "False", "InvalidSpec")]}),
        (False, {"conditions": [said("Accepted", "False", "NameTaken")]}),
        (False, {"conditions": [said("Accepted", "True", "Accepted")]}),
        (False, {"conditions": [said("Accepted", "False", "InvalidSpec")], "attempt": 1}),
    ],
    ids=["refused", "its name is taken", "accepted", "refused after it has trained"],
)
def test_a_spec_that_was_refused_can_be_corrected_in_place(
    api: ControlPlane, refused: bool, status: dict[str, Any]
) -> None:
    path = runs_path(NAMESPACE, "corrected")
    send_request(api, "DELETE", path)
    created = send_request(api, "POST", runs_path(NAMESPACE), document("corrected", **BEFORE))
    written = send_request(api, "PUT", f"{path}/status", created.content | {"status": status})
    assert written.ok, written.content
    for field, change in IMMUTABLE.values():
        dry = f"{path}?{DRY_RUN}&{STRICT}"
        answer = send_request(api, "PATCH", dry, {"spec": change}, content_type=MERGE)
        assert answer.ok == refused, (field, answer.content)


@pytest.mark.parametrize("stage", STAGES)
def test_what_changes_nothing_is_taken_at_every_stage(
    api: ControlPlane, staged: dict[str, str], stage: str
) -> None:
    path = staged[stage]
    again = {"spec": document(gpu={"perNode": 8}, **BEFORE)["spec"]}
    labelled = {"metadata": {"labels": {"team": "vision"}}}
    for change in (again, labelled):
        assert send_request(api, "PATCH", path, change, content_type=MERGE).ok
    now = send_request(api, "GET", path).content
    assert now["metadata"]["generation"] == 1
    status = now["status"] | {"phase": "Anything"}
    assert send_request(api, "PUT", f"{path}/status", now | {"status": status}).ok


def test_a_newer_crd_with_more_defaults_locks_no_run_out(empty: ControlPlane) -> None:
    """Stored objects lack the new fields; the server fills them in on both sides of a change."""
    empty.kubectl("apply", "--server-side", "-k", ROOT / "crds")
    empty.kubectl("wait", "--for=condition=Established", "--timeout=30s", "crd", "--all")
    runs = runs_path("default")
    raw = document("old", gpu={"perNode": 8}, checkpoint={"everyMinutes": 5}, **BEFORE)
    file = json.dumps(raw | {"metadata": {"name": "old", "namespace": "default"}})
    empty.kubectl("apply", "-f", "-", stdin=file)
    made = send_request(empty, "GET", f"{runs}/old").content
    running: dict[str, Any] = {"conditions": [said("Running", "True")], "attempt": 1}
    assert send_request(empty, "PUT", f"{runs}/old/status", made | {"status": running}).ok

    newer = crd()
    spec = newer["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    added = {"type": "string", "default": "usual"}
    for fields in (spec, *(spec["properties"][group] for group in ("gpu", "checkpoint", "data"))):
        fields["properties"]["added"] = added
    empty.apply(newer)

    def is_served() -> bool:
        found = send_request(empty, "GET", f"{runs}/old").content
        return bool(found["spec"].get("added") == "usual")

    wait_until(is_served, "the newer CRD is served")
    now = send_request(empty, "GET", f"{runs}/old").content
    assert now["spec"]["gpu"] == {"perNode": 8, "added": "usual"} | now["spec"]["gpu"]
    said_again = empty.kubectl("apply", "-f", "-", stdin=file)
    assert said_again.split() == ["qinstructtraining.qinstruct.dev/old", "unchanged"]
    status = now["status"] | {"phase": "Training"}
    assert send_request(empty, "PUT", f"{runs}/old/status", now | {"status": status}).ok
    labelled = {"metadata": {"labels": {"team": "vision"}}}
    assert send_request(empty, "PATCH", f"{runs}/old", labelled, content_type=MERGE).ok
    assert send_request(empty, "PUT", f"{runs}/old", empty_of_status(empty, f"{runs}/old")).ok


def empty_of_status(api: ControlPlane, path: str) -> dict[str, Any]:
    """A run as it is, without its status: as somebody writes it back from a file."""
    found: dict[str, Any] = send_request(api, "GET", path).content
    return {key: value for key, value in found.items() if key != "status"}


def test_every_field_either_can_change_or_cannot() -> None:
    frozen = {field for field, _ in IMMUTABLE.values()} - {"checkpoint.keep"}
    assert frozen.isdisjoint({*MUTABLE, *ANYTIME})
    assert frozen | {*MUTABLE, *ANYTIME} == SPEC["properties"].keys()


@pytest.mark.parametrize("side", ["--server-side=false", "--server-side=true"])
def test_the_same_file_again_changes_nothing(api: ControlPlane, side: str) -> None:
    """With defaults filled in by the server, the rules against changes stay silent."""
    apply = ("apply", side, "-f", SAMPLES / "all-fields.yaml", "-o", "jsonpath={.metadata}")
    first, second = (api.kubectl(*apply) for _ in range(2))
    generation = re.compile(r'"generation":1\b')
    assert generation.search(first)
    assert generation.search(second)
    api.kubectl("delete", "-f", SAMPLES / "all-fields.yaml")


def test_two_field_managers_share_a_run(api: ControlPlane) -> None:
    whole = document("shared", checkpoint={"everyMinutes": 5})
    queue = document("shared") | {"spec": {"scheduling": {"queueName": "gpus"}}}

    def apply(manager: str, body: dict[str, Any]) -> Any:
        path = f"{runs_path(NAMESPACE, 'shared')}?fieldManager={manager}"
        return send_request(api, "PATCH", path, body, content_type=APPLY)

    assert apply("user", whole).ok
    both = apply("queues", queue).content["spec"]
    assert both["checkpoint"]["everyMinutes"] == 5
    assert both["scheduling"] == {"queueName": "gpus"}

    conflict = apply("queues", document("shared", strategy="mix"))
    assert conflict.code == 409
    assert conflict.causes == [(".spec.strategy", 'conflict with "user"')]

    without = apply("user", document("shared")).content["spec"]
    assert "checkpoint" not in without
    assert without["scheduling"] == {"queueName": "gpus"}
