"""The config.json of a published checkpoint to the `LlavaConfig` of the one we write."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from huggingface_hub.errors import StrictDataclassError
from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig

from qinstruct_trainer.contract.errors import DataError
from qinstruct_trainer.data.conversation import IMAGE_TOKEN
from qinstruct_trainer.data.tokenizer import Tokenizer
from qinstruct_trainer.json_files import read_json
from qinstruct_trainer.model.config_fields import (
    ClipFields,
    LlamaFields,
    read_hub_fields,
)
from qinstruct_trainer.model.convert import padded_rows

# Settings of the original LLaVA that this project trains; its other variants are refused.
LLAVA_V15 = {
    "mm_projector_type": "mlp2x_gelu",
    "mm_vision_select_layer": -2,
    "mm_vision_select_feature": "patch",
    "mm_use_im_start_end": False,
}


def compose_config(base: dict[str, Any], vision: dict[str, Any], num_tokens: int) -> LlavaConfig:
    """A Llama's (or original LLaVA's) config.json and a CLIP's, joined.

    The image token gets the first id after the text vocabulary, padding the next.

    Args:
        base: Of Vicuna or of the original LLaVA.
        vision: Of CLIP, whole or its vision part.
        num_tokens: Of the base's tokenizer.

    Raises:
        DataError: it is a variant of LLaVA that this project does not train, a field is
            missing or wrong, or vocabulary and tokenizer differ.
    """
    for field, expected in LLAVA_V15.items():
        if base.get(field, expected) != expected:
            raise DataError(
                f"config.json of the base model has {field} {base[field]!r:.80}; LLaVA-v1.5 has "
                f"{expected!r}, and no other variant can be trained here"
            )
    if base.get("vocab_size") != num_tokens:
        raise DataError(
            f"config.json of the base model has vocab_size {base.get('vocab_size')!r:.80}, its "
            f"tokenizer has {num_tokens} tokens; its files belong to different models"
        )
    pad_token_id = num_tokens + 1
    fields = ClipFields.read(vision.get("vision_config", vision), "vision tower")
    with _plausible("vision tower"):
        clip = CLIPVisionConfig(**fields.given())
    image_seq_length = _num_patches(clip)
    text = LlamaFields.read(base, "base model")
    with _plausible("base model"):
        llama = LlamaConfig(
            **text.given(),
            vocab_size=padded_rows(num_tokens + 2),
            pad_token_id=pad_token_id,
        )
    config = LlavaConfig(
        vision_config=clip,
        text_config=llama,
        image_token_index=num_tokens,
        image_seq_length=image_seq_length,
        vision_feature_layer=-2,
        vision_feature_select_strategy="default",
        tie_word_embeddings=False,
        architectures=["LlavaForConditionalGeneration"],
    )
    config.pad_token_id = pad_token_id  # where llava-hf checkpoints have it, too
    return config


def read_hub_config(base: dict[str, Any], tokenizer: Tokenizer) -> LlavaConfig:
    """The config.json of a llava-hf checkpoint, checked against its tokenizer with added tokens.

    Raises:
        DataError: it is another kind of model, or its image token is not the tokenizer's.
    """
    config = _hub_config(base, "base model")
    num_rows = config.get_text_config().vocab_size
    if len(tokenizer) > num_rows:
        raise DataError(
            f"config.json of the base model has vocab_size {num_rows}, its tokenizer has "
            f"{len(tokenizer)} tokens; its files belong to different models"
        )
    image_token_id = tokenizer.convert_tokens_to_ids(IMAGE_TOKEN)
    if config.image_token_index != image_token_id:
        raise DataError(
            f"config.json of the base model has image_token_index {config.image_token_index}, its "
            f"tokenizer has <image> at {image_token_id}; its files belong to different models"
        )
    config.get_text_config().pad_token_id = tokenizer.pad_token_id
    config.pad_token_id = tokenizer.pad_token_id
    return config


def open_config(folder: Path) -> LlavaConfig:
    """The config.json of a checkpoint in the hub layout, as `build_model` writes it.

    Raises:
        DataError: it is none, or of another kind of model.
    """
    return _hub_config(read_json(folder / "config.json"), f"checkpoint {folder}")


def _hub_config(document: dict[str, Any], owner: str) -> LlavaConfig:
    """Built of the fields that are known, and of nothing else."""
    whole, text, vision = read_hub_fields(document, owner)
    known = whole.given()
    with _plausible(owner):
        known["text_config"] = LlamaConfig(**text.given())
        known["vision_config"] = CLIPVisionConfig(**vision.given())
        config = LlavaConfig(**known, architectures=["LlavaForConditionalGeneration"])
    _num_patches(config.vision_config)
    rows = config.get_text_config().vocab_size
    ids = (config.image_token_index, text.pad_token_id, text.bos_token_id, text.eos_token_id)
    if any(token is not None and token >= rows for token in ids):
        raise DataError(
            f"config.json of the {owner} has vocab_size {rows}, and a token beyond it; its files "
            "belong to different models"
        )
    if (config.vision_feature_layer, config.vision_feature_select_strategy) != (-2, "default"):
        raise DataError(
            f"config.json of the {owner} takes image features from layer "
            f"{config.vision_feature_layer} ({config.vision_feature_select_strategy:.80}); "
            "LLaVA-v1.5 takes -2 (default), and no other variant can be trained here"
        )
    if "pad_token_id" in known:
        config.pad_token_id = known["pad_token_id"]
    return config


def _num_patches(clip: Any) -> int:
    """Of an image, which must have at least one."""
    if clip.patch_size > clip.image_size:
        raise DataError(
            f"config.json of the vision tower has patches of {clip.patch_size} pixels in images of "
            f"{clip.image_size}; its files are damaged, fetch it again"
        )
    return int(clip.image_size // clip.patch_size) ** 2


@contextmanager
def _plausible(owner: str) -> Iterator[None]:
    try:
        yield
    except (StrictDataclassError, LookupError, TypeError, ValueError, AttributeError) as error:
        last_line = str(error).strip().rpartition("\n")[2].strip()
        raise DataError(
            f"config.json of the {owner} describes no model ({last_line:.200}); fetch it again"
        ) from error
