"""A LLaVA of some million parameters: the classes, files and names of the 7B one."""

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor
from transformers import (
    AutoTokenizer,
    CLIPImageProcessorPil,
    CLIPVisionConfig,
    GenerationConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
)

from qinstruct_trainer.builtin.tower import design_tower

IMAGE_SIZE = 112
PATCH_SIZE = 14
NUM_IMAGE_TOKENS = (IMAGE_SIZE // PATCH_SIZE) ** 2

_VISION_HIDDEN = 256
_TEXT_HIDDEN = 128
_TEXT_LAYERS = 3
_TEXT_HEADS = 4
_MAX_POSITIONS = 1024

# The published conversion pads the vocabulary with its two extra tokens to this multiple.
_VOCABULARY_MULTIPLE = 64


def write_tiny_model(folder: Path, *, tokenizer_folder: Path, seed: int) -> None:
    """Write a seeded tiny LLaVA as a checkpoint in the Hugging Face hub layout.

    The tower is `tower.design_tower`'s; projector and language model are random. The
    tokenizer is the given one plus `<image>` and `<pad>`, as in llava-hf checkpoints.
    """
    tokenizer = AutoTokenizer.from_pretrained(tokenizer_folder, local_files_only=True)
    tokenizer.add_tokens(["<image>", "<pad>"], special_tokens=True)
    tokenizer.pad_token = "<pad>"
    image_token_id = tokenizer.convert_tokens_to_ids("<image>")

    config = tiny_config(image_token_id=image_token_id, pad_token_id=tokenizer.pad_token_id)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = LlavaForConditionalGeneration(config)
    design_tower(model.model.vision_tower)

    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save_pretrained(folder)
    config.save_pretrained(folder)
    generation = GenerationConfig(bos_token_id=1, eos_token_id=2, pad_token_id=config.pad_token_id)
    generation.save_pretrained(folder)
    size = {"height": IMAGE_SIZE, "width": IMAGE_SIZE}
    CLIPImageProcessorPil(size={"shortest_edge": IMAGE_SIZE}, crop_size=size).save_pretrained(
        folder
    )
    save_file(hub_names(model.state_dict()), folder / "model.safetensors", {"format": "pt"})


def tiny_config(*, image_token_id: int, pad_token_id: int) -> LlavaConfig:
    """The configuration of the tiny LLaVA for a text vocabulary of `image_token_id` pieces."""
    num_ids = pad_token_id + 1
    rows = -(-num_ids // _VOCABULARY_MULTIPLE) * _VOCABULARY_MULTIPLE
    return LlavaConfig(
        vision_config=CLIPVisionConfig(
            hidden_size=_VISION_HIDDEN,
            intermediate_size=_VISION_HIDDEN,
            num_hidden_layers=2,
            num_attention_heads=4,
            image_size=IMAGE_SIZE,
            patch_size=PATCH_SIZE,
            projection_dim=_VISION_HIDDEN,
        ),
        text_config=LlamaConfig(
            vocab_size=rows,
            hidden_size=_TEXT_HIDDEN,
            intermediate_size=_TEXT_HIDDEN * 3,
            num_hidden_layers=_TEXT_LAYERS,
            num_attention_heads=_TEXT_HEADS,
            max_position_embeddings=_MAX_POSITIONS,
            rms_norm_eps=1e-5,
            bos_token_id=1,
            eos_token_id=2,
            pad_token_id=pad_token_id,
        ),
        image_token_index=image_token_id,
        image_seq_length=NUM_IMAGE_TOKENS,
        vision_feature_layer=-2,
        vision_feature_select_strategy="default",
        projector_hidden_act="gelu",
        pad_token_id=pad_token_id,
        tie_word_embeddings=False,
        architectures=["LlavaForConditionalGeneration"],
        dtype="float32",
    )


def hub_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """In-memory names of transformers 5 to those on the hub, which all versions read.

    `save_pretrained` of a model that was built from a config leaves `vision_model.` out of
    the tower's names, and transformers 4 then starts from a random tower.
    """
    prefixes = {
        "model.language_model.": "language_model.model.",
        "lm_head.": "language_model.lm_head.",
        "model.vision_tower.": "vision_tower.vision_model.",
        "model.multi_modal_projector.": "multi_modal_projector.",
    }
    renamed = {}
    for name, tensor in state.items():
        prefix = next(prefix for prefix in prefixes if name.startswith(prefix))
        renamed[prefixes[prefix] + name.removeprefix(prefix)] = tensor.contiguous()
    return renamed
