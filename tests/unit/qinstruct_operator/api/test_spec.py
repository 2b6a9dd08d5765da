"""The spec's descriptions tell the defaults that the plan fills in."""

import re
from dataclasses import asdict
from typing import Any

import pytest

from qinstruct_operator.api.spec import Training
from qinstruct_operator.catalog.recipes import PUBLISHED

FIELDS = sorted(Training.model_fields.keys() & asdict(PUBLISHED).keys() - {"micro_batch_size"})


@pytest.mark.parametrize("field", FIELDS)
def test_a_documented_default_is_the_published_recipes(field: str) -> None:
    described = Training.model_fields[field].description or ""
    default = re.search(r"Default: (\S+)", described)
    assert default, described
    value: Any = getattr(PUBLISHED, field)
    text = default[1].rstrip(".,")
    if isinstance(value, bool | str):
        assert text == str(value).lower()
    else:
        assert float(text) == value


def test_the_largest_micro_batch_is_the_published_recipes() -> None:
    described = Training.model_fields["micro_batch_size"].description
    assert described
    assert f"the largest up to {PUBLISHED.micro_batch_size} that" in described
