"""A LLaVA of a million trained parameters: the classes, files and names of the 7B one."""

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from transformers import LlavaConfig, LlavaForConditionalGeneration

from qinstruct_trainer.builtin import IMAGE_SIZE
from qinstruct_trainer.builtin.tokenizer import BOS_ID, EOS_ID
from qinstruct_trainer.builtin.tower import NUM_LAYERS, designed_weights
from qinstruct_trainer.model.configuration import compose_config
from qinstruct_trainer.model.llava import sane_generation_config
from qinstruct_trainer.model.parameter_names import hub_name
from qinstruct_trainer.model.processing import add_tokens, read_tokenizer, write_processing

PATCH_SIZE = 14
NUM_IMAGE_TOKENS = (IMAGE_SIZE // PATCH_SIZE) ** 2

_LLAMA = {
    "hidden_size": 128,
    "intermediate_size": 384,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "max_position_embeddings": 1024,
    "rms_norm_eps": 1e-5,
    "bos_token_id": BOS_ID,
    "eos_token_id": EOS_ID,
}
# Llama's 0.02 suits a width of 4,096; here it would make the first hundred steps slow. Measured.
_INITIALIZER_RANGE = 0.05
TOWER = {
    "hidden_size": 224,
    "intermediate_size": 224,
    "num_hidden_layers": NUM_LAYERS,
    "num_attention_heads": 4,
    "image_size": IMAGE_SIZE,
    "patch_size": PATCH_SIZE,
    "projection_dim": 224,
}


def write_tiny_model(folder: Path, *, tokenizer_folder: Path, seed: int) -> None:
    """Write a seeded tiny LLaVA as a checkpoint in the Hugging Face hub layout.

    The tower is `tower.designed_weights`; projector and language model are random. The
    tokenizer is the given one plus `<image>` and `<pad>`, as in llava-hf checkpoints.

    Raises:
        DataError: the folder has no tokenizer that can be used.
    """
    tokenizer = read_tokenizer(tokenizer_folder)
    config = compose_config({**_LLAMA, "vocab_size": len(tokenizer)}, TOWER, len(tokenizer))
    config.get_text_config().initializer_range = _INITIALIZER_RANGE
    add_tokens(tokenizer)
    state = _initial_state(config, seed)

    folder.mkdir(parents=True, exist_ok=True)
    config.save_pretrained(folder)
    sane_generation_config(config).save_pretrained(folder)
    write_processing(folder, config, tokenizer, tokenizer_folder)
    # Not save_pretrained: of a model built from a config it leaves `vision_model.` out of the
    # tower's names, and transformers 4 then starts from a random tower.
    tensors = {hub_name(name): tensor.contiguous() for name, tensor in state.items()}
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})


def _initial_state(config: LlavaConfig, seed: int) -> dict[str, torch.Tensor]:
    """Seeded random weights under their names in memory, the tower as designed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        state: dict[str, torch.Tensor] = LlavaForConditionalGeneration(config).state_dict()
    vision: Any = config.vision_config
    designed = designed_weights(
        width=vision.hidden_size, image_size=vision.image_size, patch_size=vision.patch_size
    )
    for name, tensor in designed.items():
        state[f"model.vision_tower.{name}"].copy_(tensor)
    return state
