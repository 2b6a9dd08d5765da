"""The config.json of a published checkpoint to the `LlavaConfig` of the one we write."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from huggingface_hub.errors import StrictDataclassError
from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig

from qinstruct_trainer.contract.errors import DataError
from qinstruct_trainer.data.conversation import IMAGE_TOKEN
from qinstruct_trainer.data.tokenizer import Tokenizer
from qinstruct_trainer.model.convert import padded_rows

# What of a foreign config.json decides the mathematics; everything else in it is left alone.
_LLAMA_FIELDS = (
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "hidden_act",
    "max_position_embeddings",
    "rms_norm_eps",
    "rope_theta",
    "rope_scaling",
    "bos_token_id",
    "eos_token_id",
)
_CLIP_FIELDS = (
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_channels",
    "image_size",
    "patch_size",
    "hidden_act",
    "layer_norm_eps",
    "projection_dim",
)
# Settings of the original LLaVA that this project trains; its other variants are refused.
_LLAVA_V15 = {
    "mm_projector_type": "mlp2x_gelu",
    "mm_vision_select_layer": -2,
    "mm_vision_select_feature": "patch",
    "mm_use_im_start_end": False,
}


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object of a checkpoint.

    Raises:
        DataError: the file is missing or is no JSON object.
    """
    try:
        document = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise DataError(
            f"{path.parent} has no readable {path.name}; give the folder of a whole checkpoint"
        ) from error
    except ValueError as error:
        raise DataError(f"{path} is not JSON; fetch the checkpoint again") from error
    if not isinstance(document, dict):
        raise DataError(f"{path} is not a JSON object; fetch the checkpoint again")
    return document


def is_hub_layout(base: dict[str, Any]) -> bool:
    """Whether a config.json is of a llava-hf checkpoint rather than of LLaVA or Vicuna."""
    return "text_config" in base


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
    for field, expected in _LLAVA_V15.items():
        if base.get(field, expected) != expected:
            raise DataError(
                f"config.json of the base model has {field} {base[field]!r}; LLaVA-v1.5 has "
                f"{expected!r}, and no other variant can be trained here"
            )
    if base.get("vocab_size") != num_tokens:
        raise DataError(
            f"config.json of the base model has vocab_size {base.get('vocab_size')!r}, its "
            f"tokenizer has {num_tokens} tokens; its files belong to different models"
        )
    pad_token_id = num_tokens + 1
    with _plausible("vision tower"):
        clip: Any = CLIPVisionConfig(**_pick(vision.get("vision_config", vision), _CLIP_FIELDS))
        image_seq_length = (clip.image_size // clip.patch_size) ** 2
    with _plausible("base model"):
        llama = LlamaConfig(
            **_pick(base, _LLAMA_FIELDS),
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
    with _plausible("base model"):
        config: LlavaConfig = LlavaConfig.from_dict(base)
    vision: Any = config.vision_config
    parts = (config.get_text_config().model_type, vision.model_type)
    if parts != ("llama", "clip_vision_model"):
        raise DataError(
            f"config.json of the base model joins {' and '.join(parts)}; LLaVA-v1.5 joins llama "
            "and clip_vision_model, and no other variant can be trained here"
        )
    image_token_id = tokenizer.convert_tokens_to_ids(IMAGE_TOKEN)
    if config.image_token_index != image_token_id:
        raise DataError(
            f"config.json of the base model has image_token_index {config.image_token_index}, its "
            f"tokenizer has <image> at {image_token_id}; its files belong to different models"
        )
    if (config.vision_feature_layer, config.vision_feature_select_strategy) != (-2, "default"):
        raise DataError(
            "config.json of the base model takes image features from layer "
            f"{config.vision_feature_layer} ({config.vision_feature_select_strategy}); LLaVA-v1.5 "
            "takes -2 (default), and no other variant can be trained here"
        )
    config.get_text_config().pad_token_id = tokenizer.pad_token_id
    config.pad_token_id = tokenizer.pad_token_id
    return config


def _pick(document: dict[str, Any], fields: tuple[str, ...]) -> dict[str, Any]:
    return {field: document[field] for field in fields if document.get(field) is not None}


@contextmanager
def _plausible(owner: str) -> Iterator[None]:
    try:
        yield
    except (StrictDataclassError, LookupError, TypeError, ValueError, AttributeError) as error:
        last_line = str(error).strip().rpartition("\n")[2].strip()
        raise DataError(
            f"config.json of the {owner} describes no model ({last_line}); fetch it again"
        ) from error
