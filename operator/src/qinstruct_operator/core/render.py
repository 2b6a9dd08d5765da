"""Manifests as YAML, as a person would write it. Pure."""

from collections.abc import Iterable

import yaml

from qinstruct_operator.core.children.metadata import Manifest


class _Dumper(yaml.SafeDumper):
    """Block style for text of several lines, and no anchors."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    style = "|" if "\n" in value else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _text)


def render_yaml(manifests: Iterable[Manifest]) -> str:
    """Multi-document YAML; the same bytes for the same manifests."""
    return "".join(
        "---\n" + yaml.dump(manifest, Dumper=_Dumper, sort_keys=False, width=100)
        for manifest in manifests
    )
