"""YAML as a person would write it."""

from typing import Any

import pytest
import yaml

from qinstruct_operator.core.render import render_yaml


def test_text_of_several_lines_is_a_block_and_nothing_is_an_alias() -> None:
    shared = {"a": "one\ntwo\n"}
    manifests: list[dict[str, Any]] = [{"kind": "A", "x": shared, "y": shared}, {"kind": "B"}]
    text = render_yaml(manifests)
    assert "a: |\n" in text
    assert "&" not in text
    assert list(yaml.safe_load_all(text)) == [
        {"kind": "A", "x": shared, "y": shared},
        {"kind": "B"},
    ]


@pytest.mark.parametrize("word", ["y", "1e5", "08", "0o17", "12e90", ".inf", ".8_8"])
def test_text_that_kubectl_would_take_for_a_value_is_in_quotes(word: str) -> None:
    assert render_yaml([{"kind": word, word: "x"}]) == f"---\nkind: '{word}'\n'{word}': x\n"
