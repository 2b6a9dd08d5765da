"""The pin: what a run's workloads were made from, as its ConfigMap keeps it. Pure.

A training workload is made from the spec that its data were prepared for, and so is one that is
made again, for whatever reason; it reads the configs of then, whatever settings and operator there
are by now.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qinstruct_operator.core.children.config_map import SPEC
from qinstruct_operator.core.untyped_json import Raw, number, text
from qinstruct_trainer.contract import output_files


@dataclass(frozen=True)
class Pin:
    """What was decided when the ConfigMap was written.

    Attributes:
        spec: the run's spec, as its object had it.
        cache_path, output_path: where the configs and prepared.json expect the claims.
        world_size: processes that run.json expects.
    """

    spec: Raw
    cache_path: Path
    output_path: Path
    world_size: int


def read_pin(config_map: Raw) -> Pin | None:
    """The pin in a ConfigMap; None where an older version, or somebody else, wrote it."""
    spec = _document(config_map, SPEC)
    prep = _document(config_map, output_files.PREP_CONFIG)
    cache, output = text(prep, "cache"), text(prep, "output")
    world_size = number(_document(config_map, output_files.RUN_CONFIG), "world_size") or 0
    if not (spec and cache and output and world_size > 0):
        return None
    return Pin(spec, Path(cache), Path(output), world_size)


def _document(config_map: Raw, name: str) -> Mapping[str, Any]:
    """One of the ConfigMap's JSON documents; empty where it has none."""
    try:
        found = json.loads(text(config_map, "data", name))
    except (ValueError, RecursionError):  # an edited one may be nested without an end
        return {}
    return found if isinstance(found, Mapping) else {}
