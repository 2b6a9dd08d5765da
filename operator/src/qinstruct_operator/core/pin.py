"""The pin: what a run's workloads were made from, as its ConfigMap keeps it. Pure.

A training workload that is made again, for whatever reason, is made from the spec of the first one
and reads the configs of the first one, whatever spec, settings and operator there are by then.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qinstruct_operator.core.children.config_map import SPEC
from qinstruct_operator.core.untyped_json import Raw, text
from qinstruct_trainer.contract import output_files


@dataclass(frozen=True)
class Pin:
    """What was decided when the ConfigMap was written.

    Attributes:
        spec: the run's spec, as its object had it.
        cache_path, output_path: where the configs expect the claims.
    """

    spec: Raw
    cache_path: Path
    output_path: Path


def read_pin(config_map: Raw) -> Pin | None:
    """The pin in a ConfigMap; None where an older version, or somebody else, wrote it."""
    spec = _document(config_map, SPEC)
    prep = _document(config_map, output_files.PREP_CONFIG)
    cache, output = text(prep, "cache"), text(prep, "output")
    return Pin(spec, Path(cache), Path(output)) if spec and cache and output else None


def _document(config_map: Raw, name: str) -> Mapping[str, Any]:
    """One of the ConfigMap's JSON documents; empty where it has none."""
    try:
        found = json.loads(text(config_map, "data", name))
    except ValueError:
        return {}
    return found if isinstance(found, Mapping) else {}
