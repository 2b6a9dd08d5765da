"""The designed vision tower: its filters, and the features that it gives."""

from pathlib import Path

import pytest
import torch
from transformers import LlavaForConditionalGeneration

from qinstruct_trainer.builtin.model import NUM_IMAGE_TOKENS
from qinstruct_trainer.builtin.tower import cosine_filters, designed_weights
from support.model.builtin import write_small_model


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_small_model(tmp_path_factory.mktemp("tiny"), ["Is it dark?", "Yes."])


def test_luminance_filters_are_orthogonal() -> None:
    filters = cosine_filters(14)
    planes = torch.stack([f[1] for f in filters if torch.allclose(f[0] * 0.587, f[1] * 0.299)])
    products = planes.flatten(1) @ planes.flatten(1).T
    assert len(planes) == 49
    assert (products - torch.diag(products.diag())).abs().max() < 1e-4


def test_the_tower_gives_coefficients_magnitudes_and_means(model_folder: Path) -> None:
    model = LlavaForConditionalGeneration.from_pretrained(model_folder)
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randn(2, 3, 112, 112, generator=generator)
    with torch.no_grad():
        states = model.model.vision_tower(pixels, output_hidden_states=True).hidden_states
    patches = states[-2][:, 1:]
    num_filters = len(cosine_filters(14))
    signed, magnitudes, means = patches[..., : 3 * num_filters].split(num_filters, dim=-1)
    assert signed.shape == (2, NUM_IMAGE_TOKENS, num_filters)

    def correlation(first: torch.Tensor, second: torch.Tensor) -> float:
        return float(torch.corrcoef(torch.stack([first.flatten(), second.flatten()]))[0, 1])

    assert correlation(signed.abs(), magnitudes) > 0.9
    # The same at all patches of an image, but for the shift by which layer normalisation centres.
    assert (means - means[..., :1]).std(dim=1).max() < 1e-5
    assert correlation(magnitudes.mean(dim=1), means.mean(dim=1)) > 0.9


@pytest.mark.parametrize("patch_size", [2, 14])
def test_weights_fit_the_tower_that_they_are_for(patch_size: int) -> None:
    width = 3 * len(cosine_filters(patch_size)) + 1
    weights = designed_weights(width=width, image_size=4 * patch_size, patch_size=patch_size)
    assert weights["embeddings.patch_embedding.weight"].shape == (width, 3, patch_size, patch_size)
    assert weights["embeddings.position_embedding.weight"].shape == (17, width)
    for name, tensor in weights.items():
        assert torch.isfinite(tensor).all(), name
        if name.startswith("encoder.") and name.endswith(".weight"):
            assert tensor.shape == (width, width)
            assert f"{name.removesuffix('.weight')}.bias" in weights
