"""Key maps, and the sizes of the published models proven without a weight."""

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import LlavaForConditionalGeneration

from qinstruct_trainer.contract.errors import DataError
from qinstruct_trainer.model.configuration import compose_config
from qinstruct_trainer.model.convert import padded_rows
from qinstruct_trainer.model.keys import (
    CLIP,
    HUB,
    LLAVA,
    PROJECTOR,
    VICUNA,
    Rules,
    hub_shapes,
    rename,
)
from qinstruct_trainer.model.llava import count_parameters, freeze_tower

# config.json of lmsys/vicuna-*-v1.5 and of openai/clip-vit-large-patch14-336.
VICUNA_7B = {
    "hidden_size": 4096,
    "intermediate_size": 11008,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "max_position_embeddings": 4096,
    "rms_norm_eps": 1e-05,
    "vocab_size": 32000,
}
VICUNA_13B = VICUNA_7B | {
    "hidden_size": 5120,
    "intermediate_size": 13824,
    "num_hidden_layers": 40,
    "num_attention_heads": 40,
}
CLIP_336 = {
    "vision_config": {
        "hidden_size": 1024,
        "intermediate_size": 4096,
        "num_hidden_layers": 24,
        "num_attention_heads": 16,
        "image_size": 336,
        "patch_size": 14,
        "projection_dim": 768,
    }
}


@pytest.mark.parametrize(
    ("base", "projector", "body", "head", "hidden"),
    [
        pytest.param(VICUNA_7B, 20_979_712, 6_607_343_616, 131_072_000, 4096, id="7B"),
        pytest.param(VICUNA_13B, 31_467_520, 12_852_024_320, 163_840_000, 5120, id="13B"),
    ],
)
def test_published_sizes_have_the_published_numbers_of_parameters(
    base: dict[str, Any], projector: int, body: int, head: int, hidden: int
) -> None:
    config = compose_config(base, CLIP_336, num_tokens=32_000)
    assert config.get_text_config().vocab_size == 32_064
    assert (config.image_token_index, config.get_text_config().pad_token_id) == (32_000, 32_001)
    assert config.image_seq_length == 576
    with torch.device("meta"):
        model = LlavaForConditionalGeneration(config)
    freeze_tower(model)
    added = 64 * hidden  # rows in the embedding, and again in the head
    assert count_parameters(model.model.vision_tower).total == 303_507_456
    assert count_parameters(model.model.multi_modal_projector).total == projector
    assert count_parameters(model.model.language_model).total == body + added
    assert count_parameters(model.lm_head).total == head + added
    assert count_parameters(model).trainable == projector + body + head + 2 * added
    sizes = [torch.Size(shape).numel() for shape in hub_shapes(config).values()]
    assert sum(sizes) == count_parameters(model).total


@pytest.mark.parametrize(
    ("rules", "key", "expected"),
    [
        (VICUNA, "model.embed_tokens.weight", "language_model.model.embed_tokens.weight"),
        (VICUNA, "lm_head.weight", "language_model.lm_head.weight"),
        (VICUNA, "model.layers.3.self_attn.rotary_emb.inv_freq", None),
        (PROJECTOR, "model.mm_projector.0.weight", "multi_modal_projector.linear_1.weight"),
        (PROJECTOR, "mm_projector.2.bias", "multi_modal_projector.linear_2.bias"),
        (CLIP, "vision_model.pre_layrnorm.bias", "vision_tower.vision_model.pre_layrnorm.bias"),
        (CLIP, "vision_model.embeddings.position_ids", None),
        (CLIP, "text_model.final_layer_norm.weight", None),
        (CLIP, "logit_scale", None),
        (
            LLAVA,
            "model.vision_tower.vision_tower.vision_model.post_layernorm.bias",
            "vision_tower.vision_model.post_layernorm.bias",
        ),
        (LLAVA, "model.norm.weight", "language_model.model.norm.weight"),
        (HUB, "language_model.lm_head.weight", "language_model.lm_head.weight"),
        (HUB, "model.language_model.norm.weight", "language_model.model.norm.weight"),
        (
            HUB,
            "model.vision_tower.pre_layrnorm.bias",
            "vision_tower.vision_model.pre_layrnorm.bias",
        ),
    ],
)
def test_rename(rules: Rules, key: str, expected: str | None) -> None:
    assert rename(key, rules) == expected


@given(st.sampled_from([VICUNA, PROJECTOR, CLIP, LLAVA]), st.text(max_size=30))
def test_a_key_without_a_rule_is_an_error_that_names_it(rules: Rules, rest: str) -> None:
    with pytest.raises(DataError) as caught:
        rename(f"adapter.{rest}x", rules)
    assert f"adapter.{rest}x" in str(caught.value)


@given(st.integers(min_value=1, max_value=200_000))
def test_padded_rows_are_the_next_multiple_of_64(num_tokens: int) -> None:
    rows = padded_rows(num_tokens)
    assert rows % 64 == 0
    assert 0 <= rows - num_tokens < 64
