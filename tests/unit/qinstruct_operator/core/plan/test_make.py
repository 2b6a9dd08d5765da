"""Plans as a whole: the published figures, and every fault of a document at once."""

from typing import Any

import pytest

from qinstruct_operator.core import names
from qinstruct_operator.core.plan.checks import LATER
from qinstruct_operator.errors import InvalidSpec
from support.operator_documents import document, plan, sample

PUBLISHED = {
    # name: (steps, hours, GPU-hours, GB of model states a GPU)
    "run-7b-mix": (6765, 18.0, 144.0, 13.5),
    "run-13b-mix": (6765, 21.0, 168.0, 26.0),
    "run-7b-after": (1567, 3.0, 24.0, 13.5),
    "run-13b-after": (1567, 3.5, 28.0, 26.0),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_figures(name: str) -> None:
    made = plan(sample(name))
    steps, hours, gpu_hours, states = PUBLISHED[name]
    assert made.num_steps == steps
    assert (made.hours, made.gpu_hours) == (hours, gpu_hours)
    assert made.deadline_seconds == int(2 * hours * 3600)
    assert made.memory is not None
    assert made.memory.states / 1e9 == pytest.approx(states, abs=0.05)
    assert made.memory.fits
    assert made.run_config.global_batch_size == 128
    assert made.run_config.micro_batch_size == 16
    assert made.run_config.group_by_modality == name.endswith("mix")


def test_tiny_is_built_in() -> None:
    made = plan(sample("run-tiny"))
    assert [source.kind for source in made.prep_config.sources] == ["builtin"]
    assert made.prep_config.model.kind == "tiny"
    assert made.memory is None
    assert made.gpu_hours == 0
    assert made.cache_claim.name == names.TINY_CACHE_CLAIM


def test_all_fields_is_refused_for_exactly_what_comes_later() -> None:
    with pytest.raises(InvalidSpec) as caught:
        plan(sample("all-fields"))
    assert [violation.field for violation in caught.value.violations] == list(LATER)
    assert all("not supported yet" in v.sentence() for v in caught.value.violations)


HARDWARE = {"gpu": {"product": "NVIDIA-A100-SXM4-40GB"}}
MEMORY = {"training": {"activationCheckpointing": False}}
BATCH = {"training": {"microBatchSize": 7}}
DISK = {"output": {"size": "1Gi"}}
FIELD = {"data": {"maxMissing": 3}}
LATER_FIELD = {"budget": {"maxGpuHours": 9}}
SAYS = {
    "hardware": ("spec.gpu.product", "13B needs GPUs of 80 GB"),
    "field": ("spec.data.maxMissing", "means nothing with missingImages Fail"),
    "later": ("spec.budget.maxGpuHours", "is not supported yet"),
    "batch": ("spec.training.microBatchSize", "is not a multiple of"),
    "memory": ("spec.training.microBatchSize", "does not fit"),
    "disk": ("spec.output.size", "checkpoints and the exported model take"),
}


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        (FIELD | MEMORY | DISK, ["field", "memory", "disk"]),
        (LATER_FIELD | MEMORY | DISK, ["later", "memory", "disk"]),
        (FIELD | LATER_FIELD | MEMORY | DISK, ["field", "later", "memory", "disk"]),
        (MEMORY | DISK, ["memory", "disk"]),
        (FIELD | BATCH | DISK, ["field", "batch", "disk"]),  # no batch, so no memory to add up
        (HARDWARE | MEMORY | DISK, ["hardware", "disk"]),  # nor for GPUs that are refused
        (HARDWARE | FIELD | BATCH | DISK, ["hardware", "field", "batch", "disk"]),
    ],
)
def test_faults_of_several_rooms_are_reported_at_once(
    spec: dict[str, Any], expected: list[str]
) -> None:
    size = "13B" if "hardware" in expected else "7B"
    with pytest.raises(InvalidSpec) as caught:
        plan(document(size=size, **spec))
    found = caught.value.violations
    assert [violation.field for violation in found] == [SAYS[each][0] for each in expected]
    for each in expected:
        assert str(caught.value).count(SAYS[each][1]) == 1
