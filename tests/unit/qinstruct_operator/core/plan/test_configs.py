"""The configs of prep and training."""

import pytest

from qinstruct_operator.core.plan.checks import LATER
from support.operator_documents import document, plan, sample


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({}, 0),
        ({"missingImages": "Drop"}, 1000),
        ({"missingImages": "Drop", "maxMissing": 0}, 0),
        ({"missingImages": "Drop", "maxMissing": 7}, 7),
    ],
)
def test_records_that_may_be_dropped(data: dict[str, object], expected: int) -> None:
    assert plan(document(data=data)).prep_config.max_missing == expected


def test_zero_is_a_value() -> None:
    made = plan(document(size="Tiny", training={"gradientClipping": 0}))
    assert made.run_config.gradient_clipping == 0
    assert plan(document(size="Tiny")).run_config.gradient_clipping == 1


def test_all_fields_plans_without_what_comes_later() -> None:
    raw = sample("all-fields")
    for path in LATER:
        holder = raw
        *parents, last = path.split(".")
        for part in parents:
            holder = holder[part]
        del holder[last]
    made = plan(raw)
    assert made.cache_claim.name == "shared-cache"
    assert made.prep_config.max_missing == 500
    assert made.run_config.checkpoint.keep == 3
