"""Every field of the API does something: it changes what is built, or is refused."""

from typing import Any

import pytest

from qinstruct_operator.api.crd import crd
from qinstruct_operator.core.plan.checks import LATER
from qinstruct_operator.core.render import render_yaml
from qinstruct_operator.errors import InvalidSpec
from support.operator_documents import document, manifests, plan, sample

SPEC: dict[str, Any] = crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"][
    "spec"
]

# Where the value of all-fields.yaml is what the plan chooses anyway, or needs company.
OTHER_VALUES: dict[str, Any] = {
    "size": "13B",
    "strategy": "mix",
    "gpu.product": "NVIDIA-H200",
    "gpu.perNode": 16,
    "gpu.allowLarger": False,
    "data.sources": {"q-instruct-labels": {"sha256": "0" * 64}},
    "data.maxMissing": 7,
    "model.base": "me/llava",
    "output.retain": False,
    "output.claimName": "mine",
    "training.globalBatchSize": 256,
    "training.maxLength": 1024,
    "training.epochs": 2,
    "training.learningRate": 1e-5,
    "training.warmupRatio": 0.1,
    "training.weightDecay": 0.1,
    "training.zeroStage": 1,
    "training.activationCheckpointing": False,
}
COMPANY: dict[str, dict[str, Any]] = {
    "data.maxMissing": {"data": {"missingImages": "Drop"}},
    "training.zeroStage": {"gpu": {"product": "NVIDIA-B200"}},
    "training.activationCheckpointing": {"training": {"microBatchSize": 1}},
}
SOURCE_FIELDS = {
    "url": "https://example.org/f",
    "mirrors": ["https://example.org/f"],
    "sha256": "1" * 64,
    "revision": "v1",
}


def leaves(schema: dict[str, Any], path: str = "") -> list[str]:
    """Paths of the fields that hold a value."""
    if "properties" not in schema:
        return [path]
    return [
        leaf
        for name, child in schema["properties"].items()
        for leaf in ([f"{path}.{name}"] if name in ("push", "wandb", "qbench", "tokenSecretRef")
                     else leaves(child, f"{path}.{name}"))
    ]  # fmt: skip


FIELDS = [leaf.removeprefix(".") for leaf in leaves(SPEC)]


def rendered(raw: dict[str, Any]) -> str:
    raw["metadata"]["uid"] = "u"  # retain shows in the ownerReferences
    return render_yaml(manifests(plan(raw)))


def with_field(spec: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    name, _, rest = path.partition(".")
    return spec | {name: with_field(spec.get(name, {}), rest, value) if rest else value}


def value_of(path: str) -> Any:
    if path in OTHER_VALUES:
        return OTHER_VALUES[path]
    value = sample("all-fields")["spec"]
    for part in path.split("."):
        value = value[part]
    return value


@pytest.mark.parametrize("path", FIELDS)
def test_a_field_changes_something_or_is_refused(path: str) -> None:
    base = document(**COMPANY.get(path, {}))
    changed = base | {"spec": with_field(base["spec"], path, value_of(path))}
    if f"spec.{path}" in LATER:
        with pytest.raises(InvalidSpec, match="not supported yet"):
            plan(changed)
    else:
        assert rendered(changed) != rendered(base)


@pytest.mark.parametrize("field", SOURCE_FIELDS)
def test_a_field_of_a_source_changes_something(field: str) -> None:
    sources = {"q-instruct-images": {field: SOURCE_FIELDS[field]}}
    assert rendered(document(data={"sources": sources})) != rendered(document())


def test_the_walk_sees_every_field() -> None:
    assert len(FIELDS) >= 55
    assert {path.removeprefix("spec.") for path in LATER} <= set(FIELDS)
