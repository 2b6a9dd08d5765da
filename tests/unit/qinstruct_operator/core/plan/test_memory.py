"""Memory arithmetic against what a GPU needed, hand-made figures and its own monotony."""

from dataclasses import replace

import pytest

from qinstruct_operator.catalog.sizes import SIZES, Network
from qinstruct_operator.core.plan.memory import MemoryEstimate, estimate, memory_violations
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

# bench/gpu.py on one H200, 2026-11-26: 8 layers of 7B's shape, bf16, SDPA, one GPU. Gigabytes.
EIGHT_LAYERS = Network(parameters=1_881_739_264, hidden=4096, layers=8, heads=32)
TOWER_AND_PROJECTOR = 0.61 + 0.34


def of_eight_layers(rows: int, length: int, stage: int, *, checkpointing: bool) -> MemoryEstimate:
    return estimate(
        EIGHT_LAYERS,
        num_gpus=1,
        gigabytes=141,
        micro_batch_size=rows,
        max_length=length,
        zero_stage=stage,
        attention="sdpa",
        activation_checkpointing=checkpointing,
    )


@pytest.mark.parametrize(
    ("rows", "length", "checkpointing", "before", "after"),
    [
        (16, 700, True, 27.336, 28.608),
        (16, 700, False, 27.336, 44.660),
        (4, 700, False, 27.320, 31.645),
        (4, 2048, False, 27.320, 39.810),
    ],
)
def test_what_a_forward_pass_kept_on_a_gpu(
    rows: int, length: int, checkpointing: bool, before: float, after: float
) -> None:
    """Few tokens were learnt, so that the logits were small."""
    made = of_eight_layers(rows, length, 2, checkpointing=checkpointing)
    assert made.activations == pytest.approx((after - before) * 1e9, rel=0.025)


def test_the_peak_of_a_batch_of_full_length_where_every_token_was_learnt_on_a_gpu() -> None:
    made = of_eight_layers(16, 2048, 3, checkpointing=True)
    without_runtime = made.states + made.activations + made.logits
    assert without_runtime + TOWER_AND_PROJECTOR * 1e9 == pytest.approx(47.150e9, rel=0.01)
    assert made.total == without_runtime + made.runtime


@pytest.mark.parametrize(("stage", "peak"), [(2, 42.559), (3, 37.254)])
def test_the_peak_of_an_optimizer_step_on_a_gpu(stage: int, peak: float) -> None:
    made = of_eight_layers(1, 700, stage, checkpointing=True)
    without_runtime = made.states + made.step
    assert without_runtime + TOWER_AND_PROJECTOR * 1e9 == pytest.approx(peak * 1e9, rel=0.01)
    assert made.total == without_runtime + made.runtime
    assert f"{made.step / 1e9:.1f} GB optimizer step + 3.5 GB runtime" in made.sentence()


def test_a_recomputed_layer_that_needs_more_than_the_logits_replaces_them() -> None:
    """With eager attention: 5 x 32 heads x 2048 / 4096 = 80 bytes of scores more."""
    made = estimate(NETWORK_7B, **(PUBLISHED | {"attention": "eager"}))  # type: ignore[arg-type]
    assert made.logits == 0.0
    one_byte = 16 * 2048 * 4096
    assert made.activations == one_byte * (2 * 32 + 12 + 46 - 2 + 80 + 16)


def total(**changes: object) -> float:
    return estimate(NETWORK_7B, **(PUBLISHED | changes)).total  # type: ignore[arg-type]


def test_published_7b() -> None:
    made = estimate(NETWORK_7B, **PUBLISHED)  # type: ignore[arg-type]
    assert made.states == pytest.approx(13.5e9, rel=0.01)  # 16 bytes x 6.738e9 / 8
    assert made.activations == pytest.approx(10.2e9, rel=0.01)  # 16 x 2048 x 4096 x (2 x 32 + 12)
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
        (
            {"packing": "prefix", "activation_checkpointing": False},
            {"packing": "sequence", "activation_checkpointing": False},
        ),
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
