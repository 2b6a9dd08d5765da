"""What is read of a foreign config.json: an allow-list of fields, each with its range.

Everything else in it is left alone and goes nowhere, so that nothing that transformers looks up
by name (code of a folder, kernels of a repository, quantizers) can come from a checkpoint. What
would be another model is refused, not left alone.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from qinstruct_trainer.contract.errors import DataError

_Width = Annotated[int, Field(ge=1, le=65_536)]
_Count = Annotated[int, Field(ge=1, le=256)]
_TokenId = Annotated[int, Field(ge=0, le=1_000_000)]
_Scale = Annotated[float, Field(gt=0, le=1)]
_Theta = Annotated[float, Field(ge=1, le=1e9)]
_Factor = Annotated[float, Field(ge=1, le=64)]


class _Fields(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="ignore", allow_inf_nan=False)

    quantization_config: None = None

    @classmethod
    def read(cls, document: object, owner: str) -> Self:
        """The fields of a part of a document.

        Raises:
            DataError: a value is none that such a model has.
        """
        try:
            return cls.model_validate(document)
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(map(str, first["loc"])) or "its content"
            value = f"{first['input']!r:.80}"
            raise DataError(
                f"config.json of the {owner} describes no model that can be trained here: {field} "
                f"is {value} ({first['msg'][:120]}); use a checkpoint of the LLaVA-v1.5 family"
            ) from error

    def given(self) -> dict[str, Any]:
        """What the document has, as arguments of a configuration."""
        return self.model_dump(exclude={"model_type"}, exclude_unset=True, exclude_none=True)


class _RopeScaling(_Fields):
    """As `transformers` 4 wrote it."""

    type: Literal["linear", "default"] | None = None
    rope_type: Literal["linear", "default"] | None = None
    factor: _Factor | None = None


class _RopeParameters(_Fields):
    """As `transformers` 5 writes it."""

    rope_theta: _Theta | None = None
    rope_type: Literal["linear", "default"] = "default"
    factor: _Factor | None = None


class LlamaFields(_Fields):
    """The language model."""

    hidden_size: _Width | None = None
    intermediate_size: _Width | None = None
    num_hidden_layers: _Count | None = None
    num_attention_heads: _Count | None = None
    num_key_value_heads: _Count | None = None
    head_dim: _Width | None = None
    hidden_act: Literal["silu"] | None = None
    max_position_embeddings: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    initializer_range: _Scale | None = None
    rms_norm_eps: _Scale | None = None
    rope_theta: _Theta | None = None
    rope_scaling: _RopeScaling | None = None
    rope_parameters: _RopeParameters | None = None
    bos_token_id: _TokenId | None = None
    eos_token_id: _TokenId | None = None
    attention_bias: Literal[False] | None = None
    mlp_bias: Literal[False] | None = None


class ClipFields(_Fields):
    """The vision tower; its last layer but one is read."""

    hidden_size: _Width | None = None
    intermediate_size: _Width | None = None
    num_hidden_layers: _Count | None = None
    num_attention_heads: _Count | None = None
    num_channels: Literal[3] | None = None
    image_size: Annotated[int, Field(ge=1, le=2048)] | None = None
    patch_size: Annotated[int, Field(ge=1, le=256)] | None = None
    hidden_act: Literal["quick_gelu", "gelu"] | None = None
    layer_norm_eps: _Scale | None = None
    projection_dim: _Width | None = None


class HubTextFields(LlamaFields):
    """The language model in the hub layout."""

    model_type: str = "llama"
    vocab_size: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    pad_token_id: _TokenId | None = None


class HubVisionFields(ClipFields):
    """The vision tower in the hub layout."""

    model_type: str = "clip_vision_model"


class HubFields(_Fields):
    """The whole of a config.json in the hub layout; its parts are read one by one."""

    text_config: dict[str, Any]
    vision_config: dict[str, Any]
    image_token_index: _TokenId | None = None
    image_token_id: _TokenId | None = None
    image_seq_length: Annotated[int, Field(ge=1, le=65_536)] | None = None
    vision_feature_layer: int = -2
    vision_feature_select_strategy: str = "default"
    projector_hidden_act: Literal["gelu"] | None = None
    multimodal_projector_bias: Literal[True] | None = None
    tie_word_embeddings: Literal[False] | None = None
    pad_token_id: _TokenId | None = None
    dtype: Literal["bfloat16", "float16", "float32"] | None = None


def is_hub_layout(base: dict[str, Any]) -> bool:
    """Whether a config.json is of a llava-hf checkpoint rather than of LLaVA or Vicuna."""
    return "text_config" in base


def read_hub_fields(
    document: dict[str, Any], owner: str
) -> tuple[HubFields, HubTextFields, HubVisionFields]:
    """The whole of a config.json in the hub layout, its language model and its tower.

    Raises:
        DataError: it is another kind of model.
    """
    whole = HubFields.read(document, owner)
    text = HubTextFields.read(whole.text_config, owner)
    vision = HubVisionFields.read(whole.vision_config, owner)
    if (text.model_type, vision.model_type) != ("llama", "clip_vision_model"):
        raise DataError(
            f"config.json of the {owner} joins {text.model_type:.80} and {vision.model_type:.80}; "
            "LLaVA-v1.5 joins llama and clip_vision_model, and no other variant can be trained here"
        )
    return whole, text, vision
