"""Plans: the published figures, what each size decides, claims, names, owners."""

import pytest

from qinstruct_operator.api import parse
from qinstruct_operator.catalog.recipes import RUNS as RECIPES
from qinstruct_operator.catalog.sizes import SIZES
from qinstruct_operator.catalog.sources import SOURCES
from qinstruct_operator.core import names
from qinstruct_operator.core.children import build
from qinstruct_operator.core.plan import disk
from qinstruct_operator.core.plan.checks import LATER
from qinstruct_operator.core.plan.make import make_plan
from qinstruct_operator.core.plan.sources import planned_sources
from qinstruct_operator.errors import InvalidSpec
from qinstruct_operator.settings import Settings
from support.operator_documents import RUNS, UID, document, plan, sample

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


def test_hours_grow_with_epochs_and_fewer_gpus() -> None:
    gpu = {"product": "NVIDIA-H200", "perNode": 4}
    made = plan(document(gpu=gpu, training={"epochs": 2}))
    assert (made.hours, made.gpu_hours, made.deadline_seconds) == (12.0, 48.0, 24 * 3600)


def test_mix_takes_every_source_with_q_instruct_first() -> None:
    sources = plan(sample("run-13b-mix")).prep_config.sources
    assert [source.name for source in sources] == list(SOURCES)
    assert [s.name for s in sources if s.kind == "labels"] == [
        "q-instruct-labels",
        "mix665k-labels",
    ]


def test_a_revision_takes_the_place_of_main() -> None:
    raw = document(data={"sources": {"q-instruct-labels": {"revision": "46c87ef"}}})
    labels = plan(raw).prep_config.sources[0]
    assert labels.url.endswith("/resolve/46c87ef/cleaned_labels.json")
    assert labels.revision == "46c87ef"
    assert labels.num_records == 200_534


def test_a_mirror_promises_no_published_size() -> None:
    raw = document(data={"sources": {"q-instruct-labels": {"url": "https://example.org/l.json"}}})
    made = plan(raw)
    assert made.prep_config.sources[0].num_records is None
    assert made.num_steps is None


def test_tiny_is_built_in() -> None:
    made = plan(sample("run-tiny"))
    assert [source.kind for source in made.prep_config.sources] == ["builtin"]
    assert made.prep_config.model.kind == "tiny"
    assert made.memory is None
    assert made.gpu_hours == 0
    assert made.cache_claim.name == names.TINY_CACHE_CLAIM


def test_tiny_with_real_data_shares_the_real_cache() -> None:
    sources = {"q-instruct-labels": {"url": "http://h/l.json"}, "q-instruct-images": {}}
    made = plan(document(size="Tiny", data={"sources": sources}))
    assert [source.kind for source in made.prep_config.sources] == ["labels", "images"]
    assert made.cache_claim.name == names.CACHE_CLAIM


def test_the_cache_claim_holds_every_source_and_every_model() -> None:
    sources = planned_sources(list(SOURCES), {})
    data = disk.cache_bytes(sources, None) - disk.cache_bytes((), None)
    models = sum(disk.cache_bytes((), SIZES[size].network) for size, _ in RECIPES)
    assert disk.quantity(data + models) <= Settings().cache_size == "400Gi"


def test_the_output_claim_grows_with_what_is_kept() -> None:
    sizes = [plan(document(checkpoint={"keep": keep})).output_bytes for keep in (1, 2, 3)]
    network = SIZES["7B"].network
    assert network is not None
    assert sizes[1] - sizes[0] == sizes[2] - sizes[1] == 14 * network.parameters


def test_own_claims_are_used_and_not_created() -> None:
    made = plan(document(data={"claimName": "cache"}, output={"claimName": "out"}))
    manifests = build(made)
    assert [manifest["kind"] for manifest in manifests] == ["ConfigMap", "Job", "PyTorchJob"]
    volumes = manifests[1]["spec"]["template"]["spec"]["volumes"]
    claims = [
        v["persistentVolumeClaim"]["claimName"]
        for v in volumes
        if len(v) == 2 and "persistentVolumeClaim" in v
    ]
    assert claims == ["cache", "out"]


@pytest.mark.parametrize("retain", [True, False])
def test_owner_references(retain: bool) -> None:
    raw = document(output={"retain": retain})
    raw["metadata"] |= {"uid": UID, "namespace": "team"}
    manifests = build(make_plan(parse(raw), Settings()))
    owned = {m["metadata"]["name"]: "ownerReferences" in m["metadata"] for m in manifests}
    assert owned == {
        "x-config": True,
        "qinstruct-cache": False,
        "x-output": not retain,
        "x-prep": True,
        "x-1": True,
    }
    assert {m["metadata"]["namespace"] for m in manifests} == {"team"}


def test_all_fields_is_refused_for_exactly_what_comes_later() -> None:
    with pytest.raises(InvalidSpec) as caught:
        plan(sample("all-fields"))
    assert [violation.field for violation in caught.value.violations] == list(LATER)
    assert all("not supported yet" in v.sentence() for v in caught.value.violations)


def test_all_fields_plans_without_what_comes_later() -> None:
    raw = sample("all-fields")
    for path in LATER:
        holder = raw
        *parents, last = path.split(".")
        for part in parents:
            holder = holder[part]
        del holder[last]
    made = plan(raw)
    assert made.cache_claim.name == "shared-cache"
    assert made.prep_config.max_missing == 500
    assert made.run_config.checkpoint.keep == 2


def test_settings_from_a_mapping() -> None:
    made = Settings.from_env(
        {"QINSTRUCT_CACHE_SIZE": "1Ti", "QINSTRUCT_CACHE_PATH": "/c", "HOME": "/"}
    )
    assert made.cache_size == "1Ti"
    assert str(made.cache_path) == "/c"
    assert made.prep_image == Settings().prep_image


def test_attempts_have_names_until_they_no_longer_fit() -> None:
    longest = "r" * 48
    assert names.training_name(longest, 99999) == f"{longest}-99999"
    with pytest.raises(ValueError, match="cannot be the name"):
        names.training_name(longest, 100000)
    with pytest.raises(ValueError, match="cannot be the name"):
        names.training_name("r", 0)


@pytest.mark.parametrize("name", RUNS)
def test_later_attempts_differ_in_name_and_label_alone(name: str) -> None:
    made = plan(sample(name))
    first, second = build(made, 1), build(made, 2)
    assert first[:-1] == second[:-1]
    assert first[-1]["spec"]["runPolicy"] == second[-1]["spec"]["runPolicy"]
    assert second[-1]["metadata"]["name"] == f"{name}-2"
