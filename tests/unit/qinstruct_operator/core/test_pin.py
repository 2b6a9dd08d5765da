"""The pin in a run's ConfigMap: what was written reads back, and nothing else does."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from qinstruct_operator.api import parse
from qinstruct_operator.api.spec import Spec
from qinstruct_operator.core.children.config_map import SPEC, build_config_map
from qinstruct_operator.core.pin import Pin, read_pin
from qinstruct_operator.core.plan.make import make_plan
from qinstruct_operator.settings import Settings
from support.operator_documents import document

RAW = document(gpu={"perNode": 8}, scheduling={"nodeSelector": {"zone": "a"}})
SETTINGS = replace(Settings(), cache_path=Path("/c"), output_path=Path("/o"))
CONFIG_MAP = build_config_map(make_plan(parse(RAW), SETTINGS))


def test_what_was_written_reads_back() -> None:
    pin = read_pin(CONFIG_MAP)
    assert pin == Pin(RAW["spec"], Path("/c"), Path("/o"), 8)
    assert Spec.model_validate(pin.spec) == parse(RAW).spec


def test_defaults_are_not_written() -> None:
    """A newer version's defaults would look like changes that the user made."""
    assert json.loads(CONFIG_MAP["data"][SPEC]) == RAW["spec"]


def with_data(**data: str | None) -> dict[str, Any]:
    named = {f"{name}.json": value for name, value in data.items()}
    kept = {key: value for key, value in (CONFIG_MAP["data"] | named).items() if value is not None}
    return CONFIG_MAP | {"data": kept}


UNREADABLE: dict[str, dict[str, Any]] = {
    "of an older version": with_data(spec=None),
    "without configs": with_data(prep=None),
    "cut": with_data(spec='{"size": "7'),
    "another document": with_data(spec="[1]"),
    "configs of another form": with_data(prep='{"cache": 1}'),
    "without run.json": with_data(run=None),
    "for no process": with_data(run='{"world_size": 0}'),
    "for a text": with_data(run='{"world_size": "8"}'),
    "no data": {"metadata": {"name": "x-config"}},
}


@pytest.mark.parametrize("raw", UNREADABLE.values(), ids=UNREADABLE)
def test_what_cannot_be_read_pins_nothing(raw: dict[str, Any]) -> None:
    assert read_pin(raw) is None
