"""DeepSpeed's configuration, built from RunConfig. Pure; nothing is left at "auto".

The values are those of LLaVA's scripts/zero3.json, with its "auto" entries resolved as
transformers' integrations/deepspeed.py resolves them from the language model's hidden size.
"""

from typing import Any

from qinstruct_trainer.contract.batch import accumulation_steps
from qinstruct_trainer.contract.config import RunConfig


def build_ds_config(config: RunConfig, hidden_size: int) -> dict[str, Any]:
    """The configuration of one run.

    Raises:
        ConfigError: the batch sizes do not multiply out.
    """
    return {
        "train_batch_size": config.global_batch_size,
        "train_micro_batch_size_per_gpu": config.micro_batch_size,
        "gradient_accumulation_steps": accumulation_steps(
            config.global_batch_size, config.micro_batch_size, config.world_size
        ),
        # Absent, old versions read 0 (what the published runs did) and new ones 1.0.
        "gradient_clipping": config.gradient_clipping,
        "bf16": {"enabled": config.precision == "bf16"},
        "fp16": {"enabled": False},
        # As in the published runs: gradients add up and travel in the model's own precision.
        "data_types": {"grad_accum_dtype": config.precision},
        "communication_data_type": config.precision,
        "zero_optimization": _zero(config, hidden_size),
        "zero_allow_untested_optimizer": True,  # torch's AdamW: no compiled operator needed
        "steps_per_print": 1_000_000_000,  # our events say it
        "wall_clock_breakdown": False,
    }


def _zero(config: RunConfig, hidden_size: int) -> dict[str, Any]:
    common = {
        "stage": config.zero_stage,
        "overlap_comm": config.precision == "bf16",  # fp32 is for CPUs, without streams
        "contiguous_gradients": True,
        "sub_group_size": 1_000_000_000,
        "reduce_bucket_size": hidden_size * hidden_size,
    }
    if config.zero_stage < 3:
        return common
    return common | {
        "stage3_prefetch_bucket_size": int(0.9 * hidden_size * hidden_size),
        "stage3_param_persistence_threshold": 10 * hidden_size,
        "stage3_max_live_parameters": 1_000_000_000,
        "stage3_max_reuse_distance": 1_000_000_000,
        "stage3_gather_16bit_weights_on_model_save": True,
    }
