"""The export has the hub layout, says what the model says, and its check notices when not."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import LlavaForConditionalGeneration, LlavaProcessor

from qinstruct_trainer.contract.config import ModelSource, Precision
from qinstruct_trainer.contract.errors import DataError, RunError
from qinstruct_trainer.model.export import (
    check_export,
    dry_run_export,
    first_difference,
    logit_tolerance,
    probe_logits,
    write_export,
)
from qinstruct_trainer.model.llava import load_model
from qinstruct_trainer.model.tensors import open_checkpoint
from qinstruct_trainer.prep.model import build_model
from support.model.checkpoints import write_clip, write_projector, write_vicuna

PROCESSING = (
    "added_tokens.json",
    "preprocessor_config.json",
    "processor_config.json",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
)
PROBE = torch.tensor([[1, 7, 8, 9, 2]])
PIXELS = torch.ones(1, 3, 28, 28)


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A starting checkpoint as prep makes it."""
    root = tmp_path_factory.mktemp("export")
    write_vicuna(root / "vicuna")
    write_projector(root / "projector")
    write_clip(root / "clip")
    folder = root / "model"
    folder.mkdir()
    source = ModelSource(
        kind="vicuna",
        base=str(root / "vicuna"),
        projector=str(root / "projector"),
        vision_tower=str(root / "clip"),
    )
    build_model(source, folder, seed=0, texts=[], progress=lambda done, total: None)
    return folder


def trained(start: Path, precision: Precision) -> LlavaForConditionalGeneration:
    model = load_model(start, precision=precision, attention="sdpa")
    with torch.no_grad():
        for value in model.parameters():
            if value.requires_grad:
                value.mul_(1.25)
    model.train(mode=False)
    return model


def logits(model: LlavaForConditionalGeneration) -> torch.Tensor:
    return probe_logits(model, PROBE, PIXELS)


def check(
    folder: Path,
    model: LlavaForConditionalGeneration,
    *,
    precision: Precision = "fp32",
    input_ids: torch.Tensor = PROBE,
    pixel_values: torch.Tensor = PIXELS,
    expected: torch.Tensor | None = None,
) -> None:
    """Check an export against the model that it was written from."""
    if expected is None:
        expected = probe_logits(model, input_ids, PIXELS.to(model.dtype))
    check_export(
        folder,
        model,
        precision=precision,
        input_ids=input_ids,
        pixel_values=pixel_values,
        expected=expected,
    )


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_export_loads_back_bit_for_bit_in_the_names_of_the_hub(
    precision: Precision, start: Path, tmp_path: Path
) -> None:
    model = trained(start, precision)
    state = dict(model.state_dict())
    folder = tmp_path / "model"
    write_export(model, dict(state), start, folder)
    check(folder, model, precision=precision)
    assert first_difference(folder, model.named_parameters()) is None
    names = {tensor.name for tensor in open_checkpoint(folder)}
    assert names == {tensor.name for tensor in open_checkpoint(start)}
    assert any(name.startswith("vision_tower.vision_model.") for name in names)
    again = LlavaForConditionalGeneration.from_pretrained(folder, dtype="auto")
    for name, value in again.state_dict().items():
        assert torch.equal(value, state[name]), name
    config = json.loads((folder / "config.json").read_text())
    assert config["dtype"] == {"fp32": "float32", "bf16": "bfloat16"}[precision]
    assert config["text_config"]["use_cache"]
    LlavaProcessor.from_pretrained(folder)
    assert (folder / "tokenizer.model").read_bytes() == (start / "tokenizer.model").read_bytes()


def test_export_generates_text(start: Path, tmp_path: Path) -> None:
    model = trained(start, "fp32")
    write_export(model, dict(model.state_dict()), start, tmp_path / "model")
    again: Any = LlavaForConditionalGeneration.from_pretrained(tmp_path / "model")
    output = again.generate(PROBE, max_new_tokens=3)
    assert output.shape[1] > PROBE.shape[1]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_one_flipped_bit_of_any_tensor_is_found(
    precision: Precision, start: Path, tmp_path: Path
) -> None:
    model = trained(start, precision)
    folder = tmp_path / "model"
    write_export(model, dict(model.state_dict()), start, folder)
    tensors = load_file(folder / "model.safetensors")
    for name in (
        "language_model.model.norm.weight",
        "vision_tower.vision_model.embeddings.class_embedding",
        "language_model.lm_head.weight",
    ):
        flipped = tensors[name].clone()
        flipped.view(torch.uint8).flatten()[0] ^= 1
        save_file(tensors | {name: flipped}, folder / "model.safetensors", {"format": "pt"})
        assert first_difference(folder, model.named_parameters()) == name


def test_another_precision_is_a_difference(start: Path, tmp_path: Path) -> None:
    model = trained(start, "bf16")
    folder = tmp_path / "model"
    write_export(model, dict(model.state_dict()), start, folder)
    wide = ((name, value.float()) for name, value in model.named_parameters())
    assert first_difference(folder, wide) is not None


def test_all_weights_are_taken_by_those_who_only_gather(start: Path, tmp_path: Path) -> None:
    """A rank that stopped early would leave the others in a collective call."""
    weights = iter(trained(start, "fp32").named_parameters())
    assert first_difference(tmp_path / "missing", weights, compare=False) is None
    assert next(weights, None) is None


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize(
    ("part", "field", "value"),
    [
        ("text_config", "rms_norm_eps", 1e-2),
        ("text_config", "rope_parameters", {"rope_theta": 5000.0, "rope_type": "default"}),
        ("vision_config", "hidden_act", "gelu"),
        ("vision_config", "layer_norm_eps", 1e-1),
        ("text_config", "max_position_embeddings", 64),
    ],
)
def test_a_config_that_describes_another_model_is_noticed(
    part: str | None, field: str, value: object, precision: Precision, start: Path, tmp_path: Path
) -> None:
    model = trained(start, precision)
    folder = tmp_path / "model"
    write_export(model, dict(model.state_dict()), start, folder)
    config = json.loads((folder / "config.json").read_text())
    (config if part is None else config[part])[field] = value
    (folder / "config.json").write_text(json.dumps(config))
    ids = torch.tensor([[1, *[model.config.image_token_index] * 4, 7, 8, 2]])
    with pytest.raises(RunError, match=f"trained with another .*{field}"):
        check(folder, model, precision=precision, input_ids=ids)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_other_buffers_than_those_in_training_are_named(
    precision: Precision, start: Path, tmp_path: Path
) -> None:
    """As under a context that rounds what constructors compute."""
    model = trained(start, precision)
    folder = tmp_path / "model"
    write_export(model, dict(model.state_dict()), start, folder)
    rotary = model.model.language_model.rotary_emb
    rounded = rotary.inv_freq.bfloat16()
    for wrong in (rounded, rounded.float()):
        rotary.inv_freq = wrong
        with pytest.raises(RunError, match=r"another .*rotary_emb\.inv_freq"):
            check(folder, model, precision=precision)
    del rotary.inv_freq
    with pytest.raises(RunError, match=r"another .*rotary_emb\.inv_freq"):
        check(folder, model, precision=precision, expected=logits(trained(start, precision)))


def test_other_logits_of_the_same_weights_are_noticed(start: Path, tmp_path: Path) -> None:
    model = trained(start, "fp32")
    write_export(model, dict(model.state_dict()), start, tmp_path / "model")
    expected = logits(model)
    near, far = expected * (1 + 1e-7), expected * (1 + 1e-4)
    check(tmp_path / "model", model, expected=near)
    with pytest.raises(RunError, match=r"trained one by 0\.0001 of the size"):
        check(tmp_path / "model", model, expected=far)


def test_check_uses_the_image_where_the_ids_contain_one(start: Path, tmp_path: Path) -> None:
    model = trained(start, "fp32")
    ids = torch.tensor([[1, *[model.config.image_token_index] * 4, 7, 8, 2]])
    write_export(model, dict(model.state_dict()), start, tmp_path / "model")
    check(tmp_path / "model", model, input_ids=ids)
    with pytest.raises(RunError, match="differs"):
        check(tmp_path / "model", model, input_ids=ids, pixel_values=-PIXELS)


def test_check_notices_nan(start: Path, tmp_path: Path) -> None:
    model = trained(start, "fp32")
    write_export(model, dict(model.state_dict()), start, tmp_path / "model")
    expected = torch.full_like(logits(model), torch.nan)
    with pytest.raises(RunError, match="differs"):
        check(tmp_path / "model", model, expected=expected)


def test_tolerance_is_a_few_roundings_of_the_precision(start: Path) -> None:
    config = load_model(start, precision="fp32", attention="sdpa").config
    # 4 x (2 Llama layers + 3 of the tower + 2), 2 evaluations; the longest product has 48 terms.
    assert logit_tolerance(config, "bf16") == pytest.approx(2**-8 * (2 * 28 / 3) ** 0.5)
    assert logit_tolerance(config, "fp32") == pytest.approx(2**-24 * (2 * 28 * 48 / 3) ** 0.5)


def test_export_of_an_incomplete_state_is_refused(start: Path, tmp_path: Path) -> None:
    model = trained(start, "fp32")
    state = dict(model.state_dict())
    del state["lm_head.weight"]
    with pytest.raises(RunError, match=r"language_model\.lm_head\.weight"):
        write_export(model, state, start, tmp_path / "model")


def test_truncated_export_is_refused(start: Path, tmp_path: Path) -> None:
    model = trained(start, "fp32")
    folder = tmp_path / "model"
    write_export(model, dict(model.state_dict()), start, folder)
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-64])
    with pytest.raises(DataError, match="not a complete safetensors file"):
        check(folder, model)


def test_dry_run_writes_everything_but_weights(start: Path, tmp_path: Path) -> None:
    model = trained(start, "fp32")
    dry_run_export(model, start, tmp_path / "dry")
    write_export(model, dict(model.state_dict()), start, tmp_path / "full")
    dry = {path.name for path in (tmp_path / "dry").iterdir()}
    assert dry == {path.name for path in (tmp_path / "full").iterdir()} - {"model.safetensors"}


@pytest.mark.parametrize("name", PROCESSING)
def test_what_reads_text_and_images_goes_along(name: str, start: Path, tmp_path: Path) -> None:
    source = tmp_path / "start"
    shutil.copytree(start, source)
    (source / name).write_text(f"the {name} of the start")
    dry_run_export(trained(start, "fp32"), source, tmp_path / "model")
    assert (tmp_path / "model" / name).read_text() == f"the {name} of the start"


def test_an_export_has_all_that_its_start_had_and_others_may_read_it(
    start: Path, tmp_path: Path
) -> None:
    model = trained(start, "fp32")
    write_export(model, dict(model.state_dict()), start, tmp_path / "model")
    files = {path.name: path for path in (tmp_path / "model").iterdir()}
    assert files.keys() == {path.name for path in start.iterdir()}
    assert {"preprocessor_config.json", "processor_config.json", "tokenizer.json"} <= files.keys()
    assert all(path.stat().st_mode & 0o444 == 0o444 for path in files.values())


def test_dry_run_meets_the_generation_config_that_would_fail_after_training(
    start: Path, tmp_path: Path
) -> None:
    model = trained(start, "fp32")
    model.generation_config.temperature = 0.9
    with pytest.raises(RunError, match="generation"):
        dry_run_export(model, start, tmp_path / "dry")
