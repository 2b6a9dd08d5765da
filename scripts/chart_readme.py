"""Print the chart's README with its table of values renewed.

Usage: python scripts/chart_readme.py helm/qinstruct-operator > OUT. Meanings come from
values.schema.json, defaults from values.yaml.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

MARKER = "<!-- Below: written by `make generate`; do not edit. -->\n"


def rows(schema: dict[str, Any], values: dict[str, Any], path: str = "") -> Iterator[str]:
    """A line for each value; a group without a meaning of its own has one for each member."""
    for name, field in schema["properties"].items():
        if name not in values:  # `global`, which Helm itself may add
            continue
        if "properties" in field and "description" not in field:
            yield from rows(field, values[name], f"{path}{name}.")
        else:
            default = json.dumps(values[name])
            yield f"| `{path}{name}` | `{default}` | {field['description']} |"


def main() -> None:
    """Keep what is written by hand, renew the rest."""
    chart = Path(sys.argv[1])
    by_hand = (chart / "README.md").read_text("utf-8").split(MARKER)[0]
    schema = json.loads((chart / "values.schema.json").read_text("utf-8"))
    values = yaml.safe_load((chart / "values.yaml").read_text("utf-8"))
    table = ["| value | default | what |", "|---|---|---|", *rows(schema, values)]
    print("\n".join([by_hand + MARKER, *table]))  # noqa: T201


if __name__ == "__main__":
    main()
