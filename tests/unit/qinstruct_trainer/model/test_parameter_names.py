"""Key maps: what a published name is called in the hub layout."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qinstruct_trainer.contract.errors import DataError
from qinstruct_trainer.model.parameter_names import (
    CLIP,
    HUB,
    LLAVA,
    PROJECTOR,
    VICUNA,
    Rules,
    rename,
)


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


# What is not printable is escaped in every message.
PRINTABLE = st.text(max_size=30).filter(str.isprintable)


@given(st.sampled_from([VICUNA, PROJECTOR, CLIP, LLAVA]), PRINTABLE)
def test_a_key_without_a_rule_is_an_error_that_names_it(rules: Rules, rest: str) -> None:
    with pytest.raises(DataError) as caught:
        rename(f"adapter.{rest}x", rules)
    assert f"adapter.{rest}x" in str(caught.value)
