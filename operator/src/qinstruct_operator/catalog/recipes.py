"""The recipes of the four published runs and of Tiny: every default training value.

Source of the published values: the scripts {mix,after}_qinstruct_llava_v1.5_{7b,13b}.sh of
Q-Future/Q-Instruct and zero3.json of haotian-liu/LLaVA. The four differ in exactly five
things; everything else is shared.
"""

from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, get_args

from qinstruct_operator.catalog.sizes import SIZES
from qinstruct_trainer.contract.config import Attention, Precision, Size, Strategy, ZeroStage


@dataclass(frozen=True)
class Recipe:
    """The training values that the runs of a size have in common.

    Attributes:
        global_batch_size: samples per optimizer step.
        micro_batch_size: most samples per process and forward pass.
        gradient_clipping: largest global norm, 0 is off.
    """

    global_batch_size: int
    micro_batch_size: int
    epochs: int
    learning_rate: float
    warmup_ratio: float
    weight_decay: float
    gradient_clipping: float
    max_length: int
    zero_stage: ZeroStage
    precision: Precision
    attention: Attention
    activation_checkpointing: bool
    checkpoint_minutes: float


@dataclass(frozen=True)
class PublishedRun:
    """The five values in which the published scripts differ.

    Attributes:
        base: --model_name_or_path.
        projector: --pretrain_mm_mlp_adapter, as the hub repository it is fetched from.
        data_file: --data_path's file name; mix_cleaned_labels.json is the merge of two.
        group_by_modality: --group_by_modality_length.
        output_dir: --output_dir's last part; ours is the run's name.
    """

    base: str
    projector: str | None
    data_file: str
    group_by_modality: bool
    output_dir: str


VISION_TOWER: Final = "openai/clip-vit-large-patch14-336"

PUBLISHED: Final = Recipe(
    global_batch_size=128,  # 16 per device x 1 accumulation x 8 GPUs
    micro_batch_size=16,
    epochs=1,
    learning_rate=2e-5,
    warmup_ratio=0.03,
    weight_decay=0.0,
    # zero3.json has no gradient_clipping key, and DeepSpeed's default was 0 in the 0.12.6 that
    # LLaVA pins: the published runs trained unclipped. (It is 1.0 in today's DeepSpeed.)
    gradient_clipping=0.0,
    max_length=2048,
    zero_stage=3,
    precision="bf16",
    attention="flash_attention_2",
    activation_checkpointing=True,
    # The scripts save every 50,000 steps, that is never; half an hour is what a lost node costs.
    checkpoint_minutes=30.0,
)

TINY: Final = Recipe(
    global_batch_size=32,
    micro_batch_size=16,
    epochs=2,
    learning_rate=1e-3,
    warmup_ratio=0.03,
    weight_decay=0.0,
    gradient_clipping=1.0,  # a random model's first gradients are large
    max_length=256,
    zero_stage=2,
    precision="fp32",
    attention="sdpa",
    activation_checkpointing=False,
    checkpoint_minutes=1.0,
)
TINY_PROCESSES: Final = 2

# The kernel that can let the questions about an image share it (trainer: model/attention.py).
PREFIX_ATTENTION: Final[Attention] = "sdpa"

# 355 of OCR-VQA's images are known to be lost; room for as many again.
DEFAULT_MAX_MISSING: Final = 1000


def groups_by_modality(strategy: str) -> bool:
    """Whether batches hold one modality each: the scripts do it for mix alone."""
    return strategy == "mix"


def _published(size: str, strategy: str) -> PublishedRun:
    mix = strategy == "mix"
    stage_1 = f"liuhaotian/llava-v1.5-mlp2x-336px-pretrain-vicuna-{size}-v1.5"
    return PublishedRun(
        base=f"lmsys/vicuna-{size}-v1.5" if mix else f"liuhaotian/llava-v1.5-{size}",
        projector=stage_1 if mix else None,
        data_file="mix_cleaned_labels.json" if mix else "cleaned_labels.json",
        group_by_modality=groups_by_modality(strategy),
        output_dir=f"llava-v1.5-{size}-qinstruct-{strategy}",
    )


RUNS: Final = MappingProxyType(
    {
        (size, strategy): _published(size.lower(), strategy)
        for size, facts in SIZES.items()
        if facts.gpu
        for strategy in get_args(Strategy)
    }
)
"""The four published runs by (size, strategy)."""


def recipe_of(size: Size) -> Recipe:
    """The recipe whose values a run of this size starts from."""
    return TINY if size == "Tiny" else PUBLISHED
