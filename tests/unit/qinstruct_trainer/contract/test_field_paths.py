"""Paths of fields, as a person can follow them."""

import pytest

from qinstruct_trainer.contract.field_paths import field_path, source_field


@pytest.mark.parametrize(
    ("parts", "path"),
    [
        ((), ""),
        (("spec", "data"), "spec.data"),
        (("mirrors", 0, "url"), "mirrors[0].url"),
        ((0, "url"), "[0].url"),
        (("labels", "kubernetes.io/arch"), 'labels["kubernetes.io/arch"]'),
        (("", "a b", 'q"', "[0]", "\u00e4"), '[""]["a b"]["q\\""]["[0]"]["\u00e4"]'),
        (("a\n",), '["a\\n"]'),
    ],
)
def test_a_path(parts: tuple[str | int, ...], path: str) -> None:
    assert field_path(*parts) == path


def test_a_source() -> None:
    assert source_field("q-instruct-labels") == "data.sources.q-instruct-labels"
    assert source_field("h2.json") == 'data.sources["h2.json"]'
