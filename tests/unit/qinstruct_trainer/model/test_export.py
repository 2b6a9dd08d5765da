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
from qinstruct_trainer.model.export import check_export, dry_run_export, probe_logits, write_export
from qinstruct_trainer.model.llava import load_model
from qinstruct_trainer.model.tensors import open_checkpoint
from qinstruct_trainer.prep.model import build_model
from support.model.checkpoints import write_clip, write_projector, write_vicuna

PROCESSING = (
    "added_tokens.json",
    "chat_template.jinja",
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


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_export_loads_back_bit_for_bit_in_the_names_of_the_hub(
    precision: Precision, start: Path, tmp_path: Path
) -> None:
    model = trained(start, precision)
    expected, state = logits(model), dict(model.state_dict())
    folder = tmp_path / "model"
    write_export(model, dict(state), start, folder)
    check_export(
        folder, precision=precision, input_ids=PROBE, pixel_values=PIXELS, expected=expected
    )
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


def test_check_notices_other_weights(start: Path, tmp_path: Path) -> None:
    model = trained(start, "fp32")
    folder = tmp_path / "model"
    write_export(model, dict(model.state_dict()), start, folder)
    tensors = load_file(folder / "model.safetensors")
    tensors["language_model.model.norm.weight"] *= 1.001
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(RunError, match="differs from the trained one"):
        check_export(
            folder, precision="fp32", input_ids=PROBE, pixel_values=PIXELS, expected=logits(model)
        )


def test_check_uses_the_image_where_the_ids_contain_one(start: Path, tmp_path: Path) -> None:
    model = trained(start, "fp32")
    ids = torch.tensor([[1, *[model.config.image_token_index] * 4, 7, 8, 2]])
    write_export(model, dict(model.state_dict()), start, tmp_path / "model")
    expected = probe_logits(model, ids, PIXELS)
    check_export(
        tmp_path / "model",
        precision="fp32",
        input_ids=ids,
        pixel_values=PIXELS,
        expected=expected,
    )
    with pytest.raises(RunError, match="differs"):
        check_export(
            tmp_path / "model",
            precision="fp32",
            input_ids=ids,
            pixel_values=-PIXELS,
            expected=expected,
        )


def test_check_notices_nan(start: Path, tmp_path: Path) -> None:
    model = trained(start, "fp32")
    write_export(model, dict(model.state_dict()), start, tmp_path / "model")
    expected = torch.full_like(logits(model), torch.nan)
    with pytest.raises(RunError, match="differs"):
        check_export(
            tmp_path / "model",
            precision="fp32",
            input_ids=PROBE,
            pixel_values=PIXELS,
            expected=expected,
        )


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
    with pytest.raises(DataError, match="cannot be loaded"):
        check_export(
            folder, precision="fp32", input_ids=PROBE, pixel_values=PIXELS, expected=logits(model)
        )


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
