"""The published recipe's numbers: schedule, optimizer groups, DeepSpeed's configuration."""

import json
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from transformers import LlamaConfig, LlavaConfig, get_cosine_schedule_with_warmup

from qinstruct_trainer.contract.errors import ConfigError
from qinstruct_trainer.model.llava import freeze_tower
from qinstruct_trainer.train.ds_config import build_ds_config
from qinstruct_trainer.train.flops import step_flops
from qinstruct_trainer.train.optim import build_optimizer
from qinstruct_trainer.train.schedule import learning_rate, warmup_steps
from support.model.tiny import tiny_model
from support.training.prepared_folder import run_config

GOLDEN = Path(__file__).parents[1] / "golden" / "trainer"


@given(steps=st.integers(1, 200), ratio=st.floats(0, 0.5), peak=st.floats(1e-6, 1e-2))
def test_the_schedule_is_transformers_cosine(steps: int, ratio: float, peak: float) -> None:
    warmup = warmup_steps(steps, ratio)
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=peak)
    theirs = get_cosine_schedule_with_warmup(optimizer, warmup, steps)
    for step in range(steps):
        ours = learning_rate(step, peak=peak, num_steps=steps, warmup=warmup)
        assert ours == pytest.approx(theirs.get_last_lr()[0], rel=1e-12, abs=1e-18)
        optimizer.step()
        theirs.step()


def test_the_published_warm_up_is_rounded_up() -> None:
    assert warmup_steps(1567, 0.03) == 48  # after: 47.01


def test_matrices_decay_and_biases_and_norms_do_not() -> None:
    model = tiny_model()
    freeze_tower(model)
    optimizer = build_optimizer(model, learning_rate=2e-5, weight_decay=0.1, fused=False)
    decay, keep = optimizer.param_groups
    assert (decay["weight_decay"], keep["weight_decay"]) == (0.1, 0.0)
    assert {p.ndim for p in decay["params"]} == {2}
    assert {p.ndim for p in keep["params"]} == {1}
    tower = sum(1 for _ in model.model.vision_tower.parameters())
    total = sum(1 for _ in model.parameters())
    assert len(decay["params"]) + len(keep["params"]) == total - tower
    assert (decay["betas"], decay["eps"]) == ((0.9, 0.999), 1e-8)


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("published", {"zero_stage": 3, "precision": "bf16", "gradient_clipping": 0.0}),
        ("zero2-clipped", {"zero_stage": 2, "precision": "fp32", "gradient_clipping": 1.0}),
    ],
)
def test_the_deepspeed_configuration_is_golden(name: str, changes: dict[str, object]) -> None:
    """Hidden size 5120 is 13B's; world size 8 and micro-batch 16 are the published ones."""
    config = run_config(
        Path("prepared.json"),
        Path("output"),
        world_size=8,
        global_batch_size=128,
        micro_batch_size=16,
        **changes,
    )
    found = build_ds_config(config, hidden_size=5120)
    assert found == json.loads((GOLDEN / f"deepspeed-{name}.json").read_text())
    assert "auto" not in json.dumps(found)


def test_a_batch_that_does_not_multiply_out_is_refused() -> None:
    config = run_config(Path("p"), Path("o"), global_batch_size=10)
    with pytest.raises(ConfigError, match="globalBatchSize 10 is not a multiple"):
        build_ds_config(config, hidden_size=64)


def test_flops_of_a_7b_sample_are_those_of_the_reference() -> None:
    """27.7 TFLOP for 690 tokens, with 0.37 for the tower (llama-7B, CLIP-L/14-336)."""
    config = LlavaConfig(
        text_config=LlamaConfig(
            hidden_size=4096, intermediate_size=11008, num_hidden_layers=32, vocab_size=32064
        )
    )
    found = step_flops(config, tokens=690, squared=690**2, images=1)
    assert found == pytest.approx(27.7e12, rel=0.03)
