"""Memory arithmetic against hand-made figures and its own monotony."""

from dataclasses import replace

import pytest

from qinstruct_operator.catalog.sizes import SIZES
from qinstruct_operator.core.plan.memory import estimate, memory_violations
from support.operator_documents import document, plan

NETWORK_7B = SIZES["7B"].network
assert NETWORK_7B is not None
PUBLISHED = {
    "num_gpus": 8,
    "gigabytes": 40,
    "micro_batch_size": 16,
    "max_length": 2048,
    "zero_stage": 3,
    "attention": "flash_attention_2",
    "activation_checkpointing": True,
}


def total(**changes: object) -> float:
    return estimate(NETWORK_7B, **(PUBLISHED | changes)).total  # type: ignore[arg-type]


def test_published_7b() -> None:
    made = estimate(NETWORK_7B, **PUBLISHED)  # type: ignore[arg-type]
    assert made.states == pytest.approx(13.5e9, rel=0.01)  # 16 bytes x 6.738e9 / 8
    assert made.activations == pytest.approx(8.6e9, rel=0.01)  # 16 x 2048 x 4096 x 2 x 32
    assert made.logits == pytest.approx(12.6e9, rel=0.01)  # 16 x 2048 x 32000 x 4 x 3
    assert made.fits


@pytest.mark.parametrize(
    ("more", "less"),
    [
        ({"micro_batch_size": 16}, {"micro_batch_size": 8}),
        ({"max_length": 2048}, {"max_length": 1024}),
        ({"num_gpus": 4}, {"num_gpus": 8}),
        ({"zero_stage": 1}, {"zero_stage": 2}),
        ({"zero_stage": 2}, {"zero_stage": 3}),
        ({"attention": "eager"}, {"attention": "sdpa"}),
        ({"activation_checkpointing": False}, {"activation_checkpointing": True}),
    ],
)
def test_what_costs_more(more: dict[str, object], less: dict[str, object]) -> None:
    assert total(**more) > total(**less)


def test_a_batch_that_does_not_fit_is_refused_with_its_sum() -> None:
    made = plan(document())
    config, fits = made.run_config, made.memory
    assert fits is not None
    assert list(memory_violations(fits, config)) == []
    (violation,) = memory_violations(replace(fits, available=fits.total - 1), config)
    assert violation.field == "spec.training.microBatchSize"
    assert violation.value == config.micro_batch_size
    assert fits.sentence().partition("= ")[0] in violation.sentence()
