"""The converted checkpoint computes what its parts compute, put together as the original does."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import CLIPVisionModel, LlamaConfig, LlamaForCausalLM

from qinstruct_trainer.contract.config import ModelSource, Precision
from qinstruct_trainer.model.export import probe_logits
from qinstruct_trainer.model.llava import DTYPES, load_checked, load_model
from qinstruct_trainer.model.original import write_original
from qinstruct_trainer.model.tensors import open_checkpoint
from support.model.checkpoints import (
    HIDDEN,
    IMAGE_SIZE,
    PATCH,
    VISION_HIDDEN,
    build,
    original,
    vicuna,
)

NUM_PATCHES = (IMAGE_SIZE // PATCH) ** 2
TEXT = [1, 9, 8, 7, 6], [12, 11, 10, 5, 4, 3, 2]  # before and behind the picture


def stored(*places: Path) -> dict[str, Tensor]:
    return {each.name: each.load() for place in places for each in open_checkpoint(place)}


def pixels(dtype: torch.dtype) -> Tensor:
    generator = torch.Generator().manual_seed(4)
    return torch.randn((1, 3, IMAGE_SIZE, IMAGE_SIZE), generator=generator).to(dtype)


@torch.no_grad()
def reference_logits(base: Path, projector: Path, clip: Path, dtype: torch.dtype) -> Tensor:
    """LLaVA's forward (llava_arch.py, clip_encoder.py): CLIP, two linears, a Llama.

    Its weights are the published files', by its names.
    """
    tower = CLIPVisionModel.from_pretrained(clip, dtype=dtype)
    tensors = stored(base, projector) if projector != base else stored(base)
    outer = "model.mm_projector."
    layers = nn.Sequential(nn.Linear(VISION_HIDDEN, HIDDEN), nn.GELU(), nn.Linear(HIDDEN, HIDDEN))
    layers.load_state_dict(
        {name.removeprefix(outer): value for name, value in tensors.items() if outer in name}
    )
    llama: Any = LlamaForCausalLM(LlamaConfig.from_pretrained(base, dtype=dtype))  # type: ignore[no-untyped-call]
    names = llama.state_dict().keys()
    llama.load_state_dict({name: tensors[name] for name in names})
    for value in (*layers.parameters(), *llama.parameters()):
        value.data = value.to(dtype)  # not the frequencies of RoPE, which a loaded model has too
    llama.eval()
    features = tower(pixels(dtype), output_hidden_states=True).hidden_states[-2][:, 1:]
    before, behind = (llama.model.embed_tokens(torch.tensor([ids])) for ids in TEXT)
    embeddings = torch.cat([before, layers(features), behind], dim=1)
    logits: Tensor = llama(inputs_embeds=embeddings, use_cache=False).logits
    return logits


def of_vicuna(root: Path) -> tuple[ModelSource, tuple[Path, Path, Path]]:
    return vicuna(root), (root / "vicuna", root / "projector", root / "clip")


def of_original(root: Path) -> tuple[ModelSource, tuple[Path, Path, Path]]:
    return original(root, tower=True), (root / "llava", root / "llava", root / "clip")


@pytest.mark.parametrize("make", [of_vicuna, of_original])
@pytest.mark.parametrize("precision", ["bf16", "fp32"])
def test_logits_are_those_of_the_parts_bit_for_bit(
    make: Callable[[Path], tuple[ModelSource, tuple[Path, Path, Path]]],
    precision: Precision,
    tmp_path: Path,
) -> None:
    source, places = make(tmp_path)
    expected = reference_logits(*places, DTYPES[precision])
    folder = build(source, tmp_path / "model")
    model = load_checked(folder, precision=precision)
    num_text = expected.shape[-1]
    image = model.config.image_token_index
    input_ids = torch.tensor([[*TEXT[0], *[image] * NUM_PATCHES, *TEXT[1]]])
    found = probe_logits(model, input_ids, pixels(DTYPES[precision]))
    assert found.shape[-1] > num_text
    assert torch.equal(found[..., :num_text], expected)
    trained = load_model(folder, precision=precision, attention="sdpa")
    again = probe_logits(trained, input_ids, pixels(DTYPES[precision]))
    assert torch.equal(again, found)


def test_the_way_back_gives_the_same_logits(tmp_path: Path) -> None:
    source, (_, _, clip) = of_vicuna(tmp_path)
    hub, folder = build(source, tmp_path / "model"), tmp_path / "llava"
    write_original(hub, folder, vision_tower=str(clip), progress=lambda done, total: None)
    before = reference_logits(tmp_path / "vicuna", tmp_path / "projector", clip, torch.float32)
    assert torch.equal(reference_logits(folder, folder, clip, torch.float32), before)
