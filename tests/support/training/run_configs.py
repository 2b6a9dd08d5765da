"""The RunConfig of a run of two processes; needs no torch."""

from pathlib import Path
from typing import Final

from qinstruct_trainer.contract.config import Checkpointing, RunConfig

GLOBAL_BATCH: Final = 8
EVERY_STEP: Final = Checkpointing(every_minutes=1e-9, keep=2)
"""A checkpoint after each step, whatever it takes."""


def run_config(prepared: Path, output: Path, **changes: object) -> RunConfig:
    """A run over a prepared folder, with some values changed."""
    config = RunConfig(
        run="test",
        size="Tiny",
        strategy="mix",
        prepared=prepared,
        output=output,
        world_size=2,
        global_batch_size=GLOBAL_BATCH,
        micro_batch_size=4,
        epochs=3,
        learning_rate=2e-3,
        warmup_ratio=0.1,
        weight_decay=0.0,
        gradient_clipping=1.0,
        group_by_modality=True,
        zero_stage=2,
        precision="fp32",
        attention="sdpa",
        activation_checkpointing=False,
        seed=7,
        checkpoint=Checkpointing(every_minutes=1000, keep=2),
    )
    return RunConfig.model_validate(config.model_dump() | changes)
