"""`manifests/` is made from the chart: `--update-golden` rewrites it."""

import copy
import re
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from cluster.harness.programs import program
from qinstruct_operator.constants import VERSION
from support.helm_chart import (
    CHART,
    NAMESPACE,
    Manifest,
    Values,
    of_kind,
    operator_container,
    render,
    template,
    without_tests,
)
from support.readme import ROOT

pytestmark = pytest.mark.cluster

MANIFESTS: Final = ROOT / "manifests"
HEAD: Final = "# Written by `pytest --update-golden tests/chart` from {chart}; do not edit.\n"
# What Helm alone has: whose an object is, and which template it is from.
HELM_ONLY: Final = re.compile(
    r"^( +(app\.kubernetes\.io/managed-by: Helm|helm\.sh/chart: .*)|# Source: .*)\n", re.MULTILINE
)
ANY_NAMESPACE: Final = "namespace-of-kubectl"  # left out: `kubectl apply --namespace` names it


def written(text: str) -> str:
    """The manifests of `helm template`, without what Helm alone needs."""
    text = HELM_ONLY.sub("", text).replace(f'  namespace: "{ANY_NAMESPACE}"\n', "")
    return HEAD.format(chart=CHART.relative_to(ROOT)) + re.sub(r"(---\n)+", "---\n", text)


def shown(*templates: str, values: Values | None = None) -> str:
    arguments = [f"--show-only=templates/{name}.yaml" for name in templates]
    return template(*arguments, values=values)


OPERATOR: Final = (
    "service-account",
    "rbac",
    "admission-policy",
    "network-policy",
    "deployment",
)


@pytest.mark.parametrize(
    ("path", "templates", "values"),
    [
        ("base/operator.yaml", OPERATOR, None),
        (
            "run-namespace/network-policies.yaml",
            ("run-network-policies",),
            {"networkPolicy": {"runNamespaces": [ANY_NAMESPACE]}},
        ),
    ],
)
def test_manifests_are_fresh(
    path: str, templates: tuple[str, ...], values: Values | None, update_golden: bool
) -> None:
    text = written(shown(*templates, values=values))
    if update_golden:
        (MANIFESTS / path).write_text(text, "utf-8")
    assert (MANIFESTS / path).read_text("utf-8") == text


def kustomized(folder: str) -> list[Manifest]:
    command = [str(program("kubectl")), "kustomize", str(MANIFESTS / folder)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return list(yaml.safe_load_all(done.stdout))


def key(manifest: Manifest) -> tuple[str, str, str]:
    metadata = manifest["metadata"]
    return manifest["kind"], metadata.get("namespace", ""), metadata["name"]


def plain(manifest: Manifest) -> Manifest:
    """Without what may differ: labels of Helm's, and that it keeps the CRD."""
    made = copy.deepcopy(manifest)
    metadata: dict[str, Any] = made["metadata"]
    for label in ("helm.sh/chart", "app.kubernetes.io/managed-by", "app.kubernetes.io/version"):
        metadata.get("labels", {}).pop(label, None)
    if metadata.get("annotations") == {"helm.sh/resource-policy": "keep"}:
        del metadata["annotations"]
    return made


def test_kustomize_and_chart_make_the_same_objects() -> None:
    chart = {key(one): plain(one) for one in without_tests(render())}
    base = {key(one): plain(one) for one in kustomized("base")}
    namespace = base.pop(("Namespace", "", NAMESPACE))  # Helm's is made by --create-namespace
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    assert base == chart


@pytest.mark.parametrize("folder", ["namespaced", "dev"])
def test_an_overlay_has_an_operator_and_the_crd(folder: str) -> None:
    made = kustomized(folder)
    assert len(of_kind(made, "Deployment")) == 1
    assert len(of_kind(made, "CustomResourceDefinition")) == 1


def test_the_images_of_your_own_machine_have_the_version_too() -> None:
    container = operator_container(kustomized("dev"))
    images = [
        container["image"],
        *(one["value"] for one in container["env"] if one["name"].endswith("_IMAGE")),
    ]
    assert [one.rpartition("/")[0] for one in images] == ["localhost/qinstruct"] * 3
    assert {one.rpartition(":")[2] for one in images} == {VERSION}


def test_every_folder_of_manifests_is_one_that_kustomize_takes_or_samples() -> None:
    folders = {path.name for path in MANIFESTS.iterdir()}
    assert {path.parent.name for path in MANIFESTS.glob("*/kustomization.yaml")} == (
        folders - {"samples"}
    )


def test_the_crd_of_the_chart_is_the_projects() -> None:
    name = "qinstruct.dev_qinstructtrainings.yaml"
    (crd,) = of_kind(render(), "CustomResourceDefinition")
    (source,) = yaml.safe_load_all((ROOT / "crds" / name).read_text("utf-8"))
    assert crd["spec"] == source["spec"]
    assert crd["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
    assert Path(CHART / "files" / "crd.yaml").read_bytes() == (ROOT / "crds" / name).read_bytes()


def test_the_crd_is_kept_or_left_out_as_the_values_say() -> None:
    (crd,) = of_kind(render("--set=crds.keep=false"), "CustomResourceDefinition")
    assert "annotations" not in crd["metadata"]
    assert of_kind(render("--set=crds.install=false"), "CustomResourceDefinition") == []
