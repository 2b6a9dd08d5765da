"""Node selectors, affinity and tolerations by what `spec` says of GPUs, prep and scheduling."""

from typing import Any

import pytest

from qinstruct_operator.core.children.scheduling import (
    affinity,
    prep_node_selector,
    prep_tolerations,
    train_node_selector,
    train_tolerations,
)
from support.operator_documents import document, plan

PRODUCT = "nvidia.com/gpu.product"
SXM_80 = "NVIDIA-A100-SXM4-80GB"
ARCH = "kubernetes.io/arch"
AMD64 = {ARCH: "amd64"}
TAINT = {"key": "sku", "operator": "Equal", "value": "gpu", "effect": "NoSchedule"}
DRAINED = {"key": "drain", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 60}


def required_values(gpu: dict[str, Any], size: str = "7B") -> dict[str, list[str]]:
    """What the required terms allow, by label key and operator."""
    node = affinity(plan(document(size=size, gpu=gpu)))["nodeAffinity"]
    terms = node["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    return {
        f"{each['key']} {each['operator']}": each["values"]
        for term in terms
        for each in term["matchExpressions"]
    }


def test_larger_gpus_will_do_unless_they_are_refused() -> None:
    larger, own = required_values({}), required_values({"allowLarger": False})
    assert larger["cloud.google.com/gke-accelerator In"] == [
        *("nvidia-tesla-a100", "nvidia-a100-80gb"),
    ]
    assert own["cloud.google.com/gke-accelerator In"] == ["nvidia-tesla-a100"]
    assert "nvidia.com/gpu.memory Lt" not in larger
    assert own["nvidia.com/gpu.memory Lt"] == ["79000"]


def test_smaller_gpus_never_do() -> None:
    values = required_values({}, "13B")
    assert values["nvidia.com/gpu.memory Gt"] == ["79000"]
    assert values["cloud.google.com/gke-accelerator In"] == ["nvidia-a100-80gb"]


@pytest.mark.parametrize("per_node", [8, 16])
def test_a_node_has_at_least_the_gpus_of_the_run(per_node: int) -> None:
    values = required_values({"perNode": per_node})
    assert values["nvidia.com/gpu.count Gt"] == [str(per_node - 1)]


def test_the_own_class_is_preferred_where_larger_gpus_are_allowed() -> None:
    preferred = "preferredDuringSchedulingIgnoredDuringExecution"
    node = affinity(plan(document()))["nodeAffinity"]
    assert len(node[preferred]) == 3
    for gpu in ({"allowLarger": False}, {"product": SXM_80}):
        assert preferred not in affinity(plan(document(gpu=gpu)))["nodeAffinity"]


def test_a_product_is_required_as_it_is_named() -> None:
    assert required_values({"product": SXM_80}) == {f"{PRODUCT} In": [SXM_80]}


@pytest.mark.parametrize(
    ("size", "spec", "terms"),
    [
        ("7B", {}, 3),
        ("7B", {"gpu": {"product": SXM_80}}, 1),
        ("7B", {"gpu": {"strict": True}}, 1),
        ("Tiny", {}, 1),
    ],
)
def test_a_node_that_is_avoided_is_so_by_every_term(
    size: str, spec: dict[str, Any], terms: int
) -> None:
    made = plan(document(size=size, **spec))
    required = "requiredDuringSchedulingIgnoredDuringExecution"
    usual = affinity(made).get("nodeAffinity", {}).get(required, {}).get("nodeSelectorTerms", [{}])
    node = affinity(made, ["gpu-1", "gpu-2"])["nodeAffinity"]
    away = [
        {"key": "metadata.name", "operator": "NotIn", "values": [name]}
        for name in ("gpu-1", "gpu-2")
    ]
    found = node[required]["nodeSelectorTerms"]
    assert found == [term | {"matchFields": away} for term in usual]
    assert len(found) == terms
    preferred = "preferredDuringSchedulingIgnoredDuringExecution"
    assert node.get(preferred) == affinity(made).get("nodeAffinity", {}).get(preferred)


def test_strict_selects_by_the_plain_label_alone() -> None:
    made = plan(document(gpu={"strict": True}, scheduling={"nodeSelector": {"zone": "a"}}))
    assert train_node_selector(made) == AMD64 | {"zone": "a", PRODUCT: "NVIDIA-A100-SXM4-40GB"}
    assert affinity(made) == {}
    named = plan(document(gpu={"strict": True, "product": SXM_80}))
    assert train_node_selector(named) == AMD64 | {PRODUCT: SXM_80}


def test_a_size_without_gpus_runs_on_any_node_that_its_image_is_built_for() -> None:
    made = plan(document(size="Tiny"))
    assert (train_node_selector(made), affinity(made), train_tolerations(made)) == (AMD64, {}, [])


SELECTORS = {"scheduling": train_node_selector, "prep": prep_node_selector}


@pytest.mark.parametrize("group", SELECTORS)
@pytest.mark.parametrize(
    ("chosen", "want"),
    [
        ({}, AMD64),
        ({"zone": "a"}, AMD64 | {"zone": "a"}),
        ({ARCH: "arm64", "zone": "a"}, {ARCH: "arm64", "zone": "a"}),
        ({"beta.kubernetes.io/arch": "arm64"}, {"beta.kubernetes.io/arch": "arm64"}),
    ],
)
def test_a_pod_runs_on_amd64_unless_the_user_names_an_architecture(
    group: str, chosen: dict[str, str], want: dict[str, str]
) -> None:
    spec: dict[str, Any] = {group: {"nodeSelector": chosen}}
    made = plan(document(**spec))
    assert SELECTORS[group](made) == want
    (other,) = SELECTORS.keys() - {group}
    assert SELECTORS[other](made) == AMD64, "what is chosen for one pod reaches the other"


def test_a_gpu_pod_tolerates_the_usual_taint_and_the_users() -> None:
    made = plan(document(scheduling={"tolerations": [TAINT, DRAINED]}))
    usual = {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}
    assert train_tolerations(made) == [usual, TAINT, DRAINED]
    assert prep_tolerations(made) == []


def test_a_training_pod_without_gpus_tolerates_what_the_user_says() -> None:
    made = plan(document(size="Tiny", scheduling={"tolerations": [TAINT, DRAINED]}))
    assert train_tolerations(made) == [TAINT, DRAINED]
    assert prep_tolerations(made) == []


def test_the_prep_pod_tolerates_what_the_user_says_of_prep() -> None:
    made = plan(document(size="Tiny", prep={"tolerations": [TAINT, DRAINED]}))
    assert prep_tolerations(made) == [TAINT, DRAINED]
    assert train_tolerations(made) == []
