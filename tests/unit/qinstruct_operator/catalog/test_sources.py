"""The table of published sources, and what is made from it."""

from typing import Any, get_args

import pytest

from qinstruct_operator.api.crd import crd
from qinstruct_operator.catalog.sources import (
    Q_INSTRUCT_IMAGES,
    Q_INSTRUCT_LABELS,
    SOURCES,
    sources_of,
)
from qinstruct_trainer.contract.config import Strategy

SPEC: dict[str, Any] = crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"][
    "spec"
]


def test_mix_trains_on_every_source_and_after_on_q_instruct_alone() -> None:
    assert sources_of("mix") == tuple(SOURCES)
    assert sources_of("after") == (Q_INSTRUCT_LABELS, Q_INSTRUCT_IMAGES)


@pytest.mark.parametrize("strategy", get_args(Strategy))
def test_every_strategy_has_labels_and_images(strategy: Strategy) -> None:
    assert {SOURCES[name].kind for name in sources_of(strategy)} == {"labels", "images"}


def test_no_published_address_is_a_web_page() -> None:
    assert not [row.url for row in SOURCES.values() if "/blob/" in row.url]


@pytest.mark.parametrize("name", SOURCES)
def test_the_api_describes_every_source(name: str) -> None:
    sources = SPEC["properties"]["data"]["properties"]["sources"]
    assert name in sources["description"]
    assert len(SOURCES) <= sources["maxProperties"]
    rules = [rule for rule in SPEC["x-kubernetes-validations"] if "unknown source" in str(rule)]
    assert f"'{name}'" in rules[0]["rule"]
