"""config.json: the published models' sizes proven without a weight, unsuitable ones refused."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import LlavaForConditionalGeneration

from qinstruct_trainer.contract.errors import DataError
from qinstruct_trainer.data.tokenizer import load_tokenizer
from qinstruct_trainer.json_files import read_json
from qinstruct_trainer.model.config_fields import is_hub_layout
from qinstruct_trainer.model.configuration import compose_config, read_hub_config
from qinstruct_trainer.model.llava import count_parameters, freeze_tower
from qinstruct_trainer.model.parameter_names import hub_shapes
from support.model.checkpoints import build, hub, vicuna

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


def test_only_what_decides_the_mathematics_is_taken_over() -> None:
    foreign = {"_name_or_path": "/home/x", "torch_dtype": "float64", "rope_theta": 5000.0}
    text = compose_config(VICUNA_7B | foreign, CLIP_336, num_tokens=32_000).get_text_config()
    assert text.to_dict()["rope_parameters"]["rope_theta"] == 5000.0
    assert text.dtype is None
    assert text.name_or_path == ""


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("mm_projector_type", "linear"),
        ("mm_vision_select_layer", -1),
        ("mm_vision_select_feature", "cls_patch"),
        ("mm_use_im_start_end", True),
    ],
)
def test_other_variants_of_the_original_are_refused(field: str, value: object) -> None:
    with pytest.raises(DataError, match=f"has {field} {value!r}; LLaVA-v1.5 has"):
        compose_config(VICUNA_7B | {field: value}, CLIP_336, num_tokens=32_000)


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("vision_feature_layer", -1, r"from layer -1 \(default\)"),
        ("vision_feature_select_strategy", "full", r"from layer -2 \(full\)"),
        ("image_token_index", 5, "image_token_index 5"),
        ("text_config", {"model_type": "mistral"}, "joins mistral and clip_vision_model"),
    ],
)
def test_other_variants_in_the_hub_layout_are_refused(
    field: str, value: object, words: str, hub_folder: Path
) -> None:
    base = read_json(hub_folder / "config.json")
    assert is_hub_layout(base)
    tokenizer = load_tokenizer(hub_folder)
    config = read_hub_config(base, tokenizer)
    assert config.pad_token_id == config.get_text_config().pad_token_id == tokenizer.pad_token_id
    with pytest.raises(DataError, match=words):
        read_hub_config(base | {field: value}, tokenizer)


@pytest.fixture(scope="module")
def hub_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(hub(tmp_path_factory.mktemp("hub")).base)


def test_a_llama_is_not_in_the_hub_layout() -> None:
    assert not is_hub_layout(VICUNA_7B)


def set_field(file: Path, field: str, value: object) -> None:
    document = json.loads(file.read_text())
    document[field] = value
    file.write_text(json.dumps(document))


def no_config(root: Path) -> None:
    (root / "vicuna/config.json").unlink()


def broken_config(root: Path) -> None:
    (root / "clip/config.json").write_text("{")


def config_is_a_list(root: Path) -> None:
    (root / "clip/config.json").write_text("[]")


def wrong_vocabulary(root: Path) -> None:
    set_field(root / "vicuna/config.json", "vocab_size", 17)


def impossible_config(root: Path) -> None:
    set_field(root / "vicuna/config.json", "num_attention_heads", 5)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (no_config, "no readable config.json"),
        (broken_config, "not JSON"),
        (config_is_a_list, "not a JSON object"),
        (wrong_vocabulary, "vocab_size 17"),
        (impossible_config, "describes no model"),
    ],
)
def test_a_config_that_describes_no_such_model_is_refused_in_a_sentence(
    damage: Callable[[Path], None], words: str, tmp_path: Path
) -> None:
    source = vicuna(tmp_path)
    damage(tmp_path)
    with pytest.raises(DataError, match=words) as caught:
        build(source, tmp_path / "model")
    assert "\n" not in str(caught.value)
