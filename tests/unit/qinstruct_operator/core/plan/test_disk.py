"""Disk arithmetic: the shared cache and the run's own claim."""

from typing import Any

import pytest

from qinstruct_operator.catalog.recipes import RUNS as RECIPES
from qinstruct_operator.catalog.sizes import SIZES
from qinstruct_operator.catalog.sources import SOURCES
from qinstruct_operator.core.plan import disk
from qinstruct_operator.core.plan.sources import planned_sources
from qinstruct_operator.settings import Settings
from qinstruct_trainer.contract.data_bytes import data_bytes
from support.operator_documents import document, plan


def test_the_cache_claim_holds_every_source_and_every_model() -> None:
    sources = planned_sources(list(SOURCES), {})
    data = data_bytes(sources, keep_archives=True)
    models = sum(disk.cache_bytes((), SIZES[size].network) for size, _ in RECIPES)
    assert disk.quantity(data + models) <= Settings().cache_size == "400Gi"


def test_the_cache_claim_also_holds_the_decoded_images_of_every_run() -> None:
    data = data_bytes(planned_sources(list(SOURCES), {}), keep_archives=False)
    models = sum(disk.cache_bytes((), SIZES[size].network) for size, _ in RECIPES)
    pixels = plan(document(strategy="mix")).pixel_bytes or 0
    assert 400 > (data + models + pixels + disk.GIBIBYTE) / disk.GIBIBYTE > 350


@pytest.mark.parametrize(
    ("spec", "gigabytes"),
    [
        ({"strategy": "mix"}, 142.1),
        ({"strategy": "after"}, 6.4),
        ({"strategy": "after", "size": "13B"}, 6.4),
        ({"strategy": "mix", "data": {"pixelStore": "Never"}}, 0),
        ({"strategy": "mix", "data": {"pixelStore": "Auto"}}, 142.1),
        ({"strategy": "mix", "data": {"sources": {"coco": {"sha256": "a" * 64}}}}, 142.1),
        ({"strategy": "mix", "data": {"sources": {"coco": {"url": "https://a.b/c"}}}}, None),
        ({"data": {"sources": {"q-instruct-labels": {"url": "https://a.b/c"}}}}, None),
        ({"size": "Tiny"}, None),
        ({"size": "Tiny", "data": {"pixelStore": "Never"}}, 0),
    ],
)
def test_what_decoded_images_take(spec: dict[str, Any], gigabytes: float | None) -> None:
    made = plan(document(**spec))
    found = made.pixel_bytes
    assert (None if found is None else round(found / 1e9, 1)) == gigabytes
    never = spec.get("data", {}).get("pixelStore") == "Never"
    assert made.prep_config.pixel_store == ("Never" if never else "Auto")


def test_decoded_images_ask_for_no_room() -> None:
    needed = {
        plan(document(data={"pixelStore": policy})).prep_config.cache_bytes
        for policy in ("Auto", "Never")
    }
    assert len(needed) == 1


def test_a_mix_run_asks_for_its_archives_one_after_the_other() -> None:
    """85.5 GB of archives, of which the largest has 20.3, and 1.1 GB of labels."""
    first, kept = (
        plan(document(strategy="mix", data={"keepArchives": keeps})).cache_bytes
        for keeps in (False, True)
    )
    model = disk.cache_bytes((), SIZES["7B"].network)

    assert round((first - model) / 1e9) == 110
    assert round((kept - model) / 1e9) == 176


def test_the_output_claim_grows_with_what_is_kept() -> None:
    sizes = [plan(document(checkpoint={"keep": keep})).output_bytes for keep in (1, 2, 3)]
    network = SIZES["7B"].network
    assert network is not None
    assert sizes[1] - sizes[0] == sizes[2] - sizes[1] == 14 * network.parameters


def test_the_output_claim_holds_all_checkpoints_of_the_worst_moment_and_the_model() -> None:
    """By default two kept ones, one being written, a damaged one set aside."""
    made, network = plan(document()), SIZES["7B"].network
    assert network is not None
    assert made.run_config.checkpoint.keep == 2
    model = 2 * network.parameters + 1_000_000_000  # bf16, and the files beside it
    assert made.output_bytes == 4 * 14 * network.parameters + model


def test_prep_asks_for_less_than_the_claim_of_which_a_file_system_keeps_a_part() -> None:
    made = plan(document())

    assert made.prep_config.cache_bytes == made.cache_bytes
    assert 0.6 < made.prep_config.output_bytes / made.output_bytes < 0.9


def test_of_size_tiny_prep_asks_for_no_room() -> None:
    config = plan(document(size="Tiny")).prep_config

    assert (config.cache_bytes, config.output_bytes) == (0, 0)
