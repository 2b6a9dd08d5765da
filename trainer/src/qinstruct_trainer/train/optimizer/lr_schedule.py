"""The learning rate as a pure function of the step: linear warm-up, then a cosine to zero."""

import math


def warmup_steps(num_steps: int, warmup_ratio: float) -> int:
    """Steps that warm up: `ceil(ratio * steps)`, as transformers' TrainingArguments does."""
    return math.ceil(num_steps * warmup_ratio)


def learning_rate(step: int, *, peak: float, num_steps: int, warmup: int) -> float:
    """The rate of optimizer step `step`, counted from 0.

    Equals transformers' `get_cosine_schedule_with_warmup` with half a cycle: the first step of
    a warm-up has rate 0.
    """
    if step < warmup:
        return peak * step / max(1, warmup)
    progress = (step - warmup) / max(1, num_steps - warmup)
    return peak * max(0.0, 0.5 * (1.0 + math.cos(math.pi * progress)))
