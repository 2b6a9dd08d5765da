"""Manifests as YAML, as a person would write it. Pure."""

from collections.abc import Iterable

import yaml

from qinstruct_operator.core.children.metadata import Manifest
from qinstruct_operator.kubectl_yaml import plain_value


class _Dumper(yaml.SafeDumper):
    """Block style for text of several lines, quotes where kubectl needs them, and no anchors."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    style = "|" if "\n" in value else None if _stays_text(value) else "'"
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


def _stays_text(word: str) -> bool:
    """Whether kubectl reads it as text without quotes; PyYAML adds only those it needs itself."""
    try:
        return isinstance(plain_value(word), str)
    except ValueError:
        return False


_Dumper.add_representer(str, _text)


def render_yaml(manifests: Iterable[Manifest]) -> str:
    """Multi-document YAML; the same bytes for the same manifests."""
    return "".join(
        "---\n" + yaml.dump(manifest, Dumper=_Dumper, sort_keys=False, width=100)
        for manifest in manifests
    )
