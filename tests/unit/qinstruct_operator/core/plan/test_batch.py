"""The micro-batch that a plan chooses, and what it refuses."""

import pytest

from qinstruct_operator.api import parse
from qinstruct_operator.core.plan.batch import micro_batch_size
from qinstruct_operator.errors import Violation
from support.operator_documents import document


@pytest.mark.parametrize(
    ("training", "processes", "expected"),
    [
        ({}, 8, 16),
        ({}, 16, 8),
        ({"globalBatchSize": 96}, 8, 12),
        ({"globalBatchSize": 8 * 17}, 8, 1),
        ({"microBatchSize": 4}, 8, 4),
    ],
)
def test_the_largest_that_divides_or_the_users(
    training: dict[str, int], processes: int, expected: int
) -> None:
    assert micro_batch_size(parse(document(training=training)).spec, processes) == expected


@pytest.mark.parametrize(
    ("training", "expected"),
    [
        (
            {"globalBatchSize": 100},
            Violation(
                "spec.training.globalBatchSize",
                100,
                "training.globalBatchSize 100 is not a multiple of 8 processes",
                "choose a multiple of 8",
            ),
        ),
        (
            {"microBatchSize": 7},
            Violation(
                "spec.training.microBatchSize",
                7,
                "training.globalBatchSize 128 is not a multiple of training.microBatchSize 7 x "
                "8 processes = 56",
                "choose a micro-batch that divides 128/8",
            ),
        ),
    ],
)
def test_what_does_not_divide_is_said_with_a_way_out(
    training: dict[str, int], expected: Violation
) -> None:
    assert micro_batch_size(parse(document(training=training)).spec, 8) == expected
