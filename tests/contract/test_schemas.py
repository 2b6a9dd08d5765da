"""Golden manifests against the schemas of the very servers that will receive them.

Kubernetes' own OpenAPI and the training-operator's CRD come as Go modules; objects in them are
closed first, so that a field that the server would drop is an error here.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from support.operator_documents import ROOT, RUNS

TRAINING_OPERATOR = "github.com/kubeflow/training-operator@v1.9.4"
KUBERNETES = "k8s.io/kubernetes@v1.37.2"
GOLDEN = ROOT / "tests" / "golden" / "manifests"
Schema = dict[str, Any]

pytestmark = pytest.mark.skipif(
    shutil.which("go") is None, reason="go is not on PATH; it fetches the servers' schemas"
)


def module_folder(module: str, workdir: Path) -> Path:
    """The module's sources, downloaded and checked by Go's own client."""
    done = subprocess.run(
        ["go", "mod", "download", "-json", module],
        cwd=workdir,
        env=os.environ | {"GOFLAGS": "-mod=mod"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        pytest.fail(f"go mod download {module}: {done.stdout}{done.stderr}")
    return Path(json.loads(done.stdout)["Dir"])


def closed(node: Any) -> Any:
    """The schema with every object of known fields closed to others, and nulls forbidden."""
    if isinstance(node, list):
        return [closed(part) for part in node]
    if not isinstance(node, dict):
        return node
    made = {key: closed(value) for key, value in node.items()}
    if (
        isinstance(made.get("properties"), dict)
        and "additionalProperties" not in made
        and not made.get("x-kubernetes-preserve-unknown-fields")
    ):
        made["additionalProperties"] = False
    return made


@pytest.fixture(scope="module")
def swagger(tmp_path_factory: pytest.TempPathFactory) -> Schema:
    folder = module_folder(KUBERNETES, tmp_path_factory.mktemp("kubernetes"))
    text = (folder / "api" / "openapi-spec" / "swagger.json").read_text("utf-8")
    return {"definitions": closed(json.loads(text)["definitions"])}


@pytest.fixture(scope="module")
def pytorchjob(tmp_path_factory: pytest.TempPathFactory) -> Schema:
    folder = module_folder(TRAINING_OPERATOR, tmp_path_factory.mktemp("training-operator"))
    path = folder / "manifests" / "base" / "crds" / "kubeflow.org_pytorchjobs.yaml"
    crd = yaml.load(path.read_text("utf-8"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    schema["properties"]["metadata"] = {"type": "object"}  # checked as ObjectMeta below
    return closed(schema)  # type: ignore[no-any-return]


DEFINITIONS = {
    "ConfigMap": "io.k8s.api.core.v1.ConfigMap",
    "PersistentVolumeClaim": "io.k8s.api.core.v1.PersistentVolumeClaim",
    "Job": "io.k8s.api.batch.v1.Job",
}


def manifests(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((GOLDEN / f"{name}.yaml").read_text("utf-8")))


def check(swagger: Schema, definition: str, value: Any) -> None:
    schema = {"$ref": f"#/definitions/{definition}", **swagger}
    jsonschema.Draft4Validator(schema).validate(value)


@pytest.mark.parametrize("name", RUNS)
def test_kubernetes_accepts_the_manifests(name: str, swagger: Schema) -> None:
    for manifest in manifests(name):
        check(swagger, "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta", manifest["metadata"])
        if manifest["kind"] in DEFINITIONS:
            check(swagger, DEFINITIONS[manifest["kind"]], manifest)


def test_kubernetes_accepts_the_job_of_a_cache(swagger: Schema) -> None:
    job = yaml.safe_load((ROOT / "tests/golden/cache-prune.yaml").read_text("utf-8"))
    check(swagger, DEFINITIONS["Job"], job)


@pytest.mark.parametrize("name", RUNS)
def test_the_training_operator_accepts_the_pytorchjob(
    name: str, pytorchjob: Schema, swagger: Schema
) -> None:
    (job,) = [m for m in manifests(name) if m["kind"] == "PyTorchJob"]
    jsonschema.Draft4Validator(pytorchjob).validate(job)
    template = job["spec"]["pytorchReplicaSpecs"]["Master"]["template"]
    check(swagger, "io.k8s.api.core.v1.PodTemplateSpec", template)


def test_a_misspelt_field_would_be_seen(pytorchjob: Schema, swagger: Schema) -> None:
    """The schemas really are closed."""
    by_kind = {manifest["kind"]: manifest for manifest in manifests("run-tiny")}
    job = by_kind["PyTorchJob"]
    job["spec"]["runPolicy"]["backofLimit"] = 1
    with pytest.raises(jsonschema.ValidationError, match="backofLimit"):
        jsonschema.Draft4Validator(pytorchjob).validate(job)
    prep = by_kind["Job"]
    prep["spec"]["template"]["spec"]["automountServiceAcountToken"] = False
    with pytest.raises(jsonschema.ValidationError, match="automountServiceAcountToken"):
        check(swagger, DEFINITIONS["Job"], prep)
