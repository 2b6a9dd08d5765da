import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from transformers import get_cosine_schedule_with_warmup

from qinstruct_trainer.train.optimizer.lr_schedule import learning_rate, warmup_steps


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
