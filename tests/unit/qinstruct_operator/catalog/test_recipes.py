"""The one table of the published runs against the published scripts."""

import pytest

from qinstruct_operator.catalog.recipes import PUBLISHED, RUNS, VISION_TOWER

# Flags of scripts/llava_v1.5/{mix,after}_qinstruct_llava_v1.5_{7b,13b}.sh in Q-Future/Q-Instruct:
# --model_name_or_path, --pretrain_mm_mlp_adapter, --data_path, --group_by_modality_length,
# --output_dir; the adapter's file is the one that get_mm_projectors.sh fetches.
SCRIPTS = {
    ("7B", "mix"): (
        "lmsys/vicuna-7b-v1.5",
        "./checkpoints/llava-v1.5-7b-pretrain/mm_projector.bin",
        "LLaVA/playground/data/mix_cleaned_labels.json",
        "True",
        "./checkpoints/llava-v1.5-7b-qinstruct-mix",
    ),
    ("13B", "mix"): (
        "lmsys/vicuna-13b-v1.5",
        "./checkpoints/llava-v1.5-13b-pretrain/mm_projector.bin",
        "LLaVA/playground/data/mix_cleaned_labels.json",
        "True",
        "./checkpoints/llava-v1.5-13b-qinstruct-mix",
    ),
    ("7B", "after"): (
        "liuhaotian/llava-v1.5-7b",
        None,
        "LLaVA/playground/data/cleaned_labels.json",
        "False",
        "./checkpoints/llava-v1.5-7b-qinstruct-after",
    ),
    ("13B", "after"): (
        "liuhaotian/llava-v1.5-13b",
        None,
        "LLaVA/playground/data/cleaned_labels.json",
        "False",
        "./checkpoints/llava-v1.5-13b-qinstruct-after",
    ),
}
SHARED = {
    "--num_train_epochs": "1",
    "--per_device_train_batch_size": "16",
    "--gradient_accumulation_steps": "1",
    "--learning_rate": "2e-5",
    "--weight_decay": "0.",
    "--warmup_ratio": "0.03",
    "--model_max_length": "2048",
    "--gradient_checkpointing": "True",
    "--bf16": "True",
    "--vision_tower": "openai/clip-vit-large-patch14-336",
}


@pytest.mark.parametrize(("size", "strategy"), SCRIPTS)
def test_the_five_values_are_the_scripts(size: str, strategy: str) -> None:
    base, adapter, data_path, grouping, output_dir = SCRIPTS[size, strategy]
    run = RUNS[size, strategy]
    assert run.base == base
    assert (run.projector is None) == (adapter is None)
    if run.projector is not None:
        stage_1 = f"llava-v1.5-mlp2x-336px-pretrain-vicuna-{size.lower()}-v1.5"
        assert run.projector == f"liuhaotian/{stage_1}"
    assert run.data_file == data_path.rsplit("/", 1)[-1]
    assert run.group_by_modality == (grouping == "True")
    assert run.output_dir == output_dir.rsplit("/", 1)[-1]


def test_there_are_four_runs() -> None:
    assert set(RUNS) == set(SCRIPTS)


def test_shared_values_are_the_scripts() -> None:
    assert PUBLISHED.epochs == int(SHARED["--num_train_epochs"])
    assert PUBLISHED.micro_batch_size == int(SHARED["--per_device_train_batch_size"])
    assert PUBLISHED.global_batch_size == 8 * PUBLISHED.micro_batch_size
    assert PUBLISHED.learning_rate == float(SHARED["--learning_rate"])
    assert PUBLISHED.weight_decay == float(SHARED["--weight_decay"])
    assert PUBLISHED.warmup_ratio == float(SHARED["--warmup_ratio"])
    assert PUBLISHED.max_length == int(SHARED["--model_max_length"])
    assert PUBLISHED.activation_checkpointing == (SHARED["--gradient_checkpointing"] == "True")
    assert (PUBLISHED.precision == "bf16") == (SHARED["--bf16"] == "True")
    assert SHARED["--vision_tower"] == VISION_TOWER
    assert PUBLISHED.zero_stage == 3, "zero3.json"
    assert PUBLISHED.gradient_clipping == 0.0, "zero3.json names none; the era's default was none"
