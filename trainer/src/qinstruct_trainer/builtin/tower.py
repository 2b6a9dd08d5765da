"""A vision tower that is designed instead of pretrained: filters, their energies, their means.

The published tower (CLIP) brings features that see blur, noise and blocks; a random tower of
the same class does not. This one is set by formula, the way classical quality metrics are built:
the patch embedding is a discrete cosine transform of the luminance plus some of the colour, the
first layer's MLP writes the magnitude of each coefficient beside it, and the second layer's
attention the mean of each magnitude over the image. Nothing in it has seen an image; it is
frozen in training like CLIP is.
"""

import math

import torch
from torch import Tensor

NUM_LAYERS = 3  # LLaVA reads the output of the last but one

# ITU-R BT.601 luma, and two opponent colours (red-green, blue-yellow).
_LUMINANCE = (0.299, 0.587, 0.114)
_OPPONENTS = ((1.0, -1.0, 0.0), (-0.5, -0.5, 1.0))
_NUM_CHROMA_FREQUENCIES = 3

# In place of the frequency for the patch's mean, whose coefficient is larger than all others.
_MEAN_WEIGHT = 0.25

# How far inputs of quick_gelu are scaled so that it acts as a rectifier.
_RECTIFIER_GAIN = 8.0

# The constant channel: layer normalisation divides it by the patch's own scale, and so keeps
# visible how strong the patch's contrast was.
_CONSTANT = 4.0

# Magnitudes vary about this mean; without it their means would all point one way.
_TYPICAL_MAGNITUDE = 0.5

# Means over 64 patches differ less between images than coefficients between patches do.
_MEAN_GAIN = 2.0


def cosine_filters(patch_size: int) -> Tensor:
    """The filter bank, [K, 3, patch_size, patch_size].

    Two-dimensional DCT-II of the luminance at the even frequencies, which still cover all bands,
    and the lowest frequencies of the two opponent colours. Each filter is scaled by its
    frequency: natural images have an amplitude spectrum of 1/f (Field 1987, "Relations between
    the statistics of natural images and the response properties of cortical cells"), so that all
    coefficients come out alike in size.
    """
    position = (torch.arange(patch_size) + 0.5) * math.pi / patch_size
    waves = torch.cos(torch.arange(patch_size)[:, None] * position[None, :])
    waves = waves / waves.norm(dim=1, keepdim=True)
    filters = []
    for u in range(patch_size):
        for v in range(patch_size):
            plane = torch.outer(waves[u], waves[v]) * (math.hypot(u, v) or _MEAN_WEIGHT)
            if u % 2 == 0 and v % 2 == 0:
                filters.append(torch.stack([plane * weight for weight in _LUMINANCE]))
            if max(u, v) < _NUM_CHROMA_FREQUENCIES:
                filters += [
                    torch.stack([plane * weight for weight in opponent]) for opponent in _OPPONENTS
                ]
    return torch.stack(filters)


def designed_weights(*, width: int, image_size: int, patch_size: int) -> dict[str, Tensor]:
    """The designed tensors of a `CLIPVisionModel` of `NUM_LAYERS` layers, by their names in it.

    All widths are the same, at least 3K + 1 for K filters. What is not named here keeps its initial
    value. Channels of the second layer's output: [0, K) signed coefficients, [K, 2K) their
    magnitudes, [2K, 3K) the magnitudes' means over the image, the last one a constant.
    """
    filters = cosine_filters(patch_size)
    num_filters = len(filters)
    num_positions = (image_size // patch_size) ** 2 + 1
    signed = slice(0, num_filters)
    magnitudes = slice(num_filters, 2 * num_filters)
    means = slice(2 * num_filters, 3 * num_filters)
    identity = torch.eye(num_filters)

    patches = torch.zeros(width, *filters.shape[1:])
    patches[signed] = filters
    positions = torch.zeros(num_positions, width)
    positions[:, -1] = _CONSTANT
    fc1, fc2, value = (torch.zeros(width, width) for _ in range(3))
    fc1[signed, signed] = _RECTIFIER_GAIN * identity
    fc1[magnitudes, signed] = -_RECTIFIER_GAIN * identity
    # |x| is about (quick_gelu(g x) + quick_gelu(-g x)) / g.
    fc2[magnitudes, signed] = identity / _RECTIFIER_GAIN
    fc2[magnitudes, magnitudes] = identity / _RECTIFIER_GAIN
    value[means, magnitudes] = identity
    in_means = torch.zeros(width)
    in_means[means] = 1.0
    return {
        "embeddings.class_embedding": torch.zeros(width),
        "embeddings.patch_embedding.weight": patches,
        "embeddings.position_embedding.weight": positions,
        **_linear("encoder.layers.0.self_attn.out_proj", torch.zeros(width, width)),
        **_linear("encoder.layers.0.mlp.fc1", fc1),
        **_linear("encoder.layers.0.mlp.fc2", fc2),
        # Queries and keys of zero attend to all patches alike: the mean.
        **_linear("encoder.layers.1.self_attn.q_proj", torch.zeros(width, width)),
        **_linear("encoder.layers.1.self_attn.k_proj", torch.zeros(width, width)),
        **_linear("encoder.layers.1.self_attn.v_proj", value, bias=-_TYPICAL_MAGNITUDE * in_means),
        **_linear("encoder.layers.1.self_attn.out_proj", _MEAN_GAIN * torch.eye(width)),
        **_linear("encoder.layers.1.mlp.fc2", torch.zeros(width, width)),
    }


def _linear(name: str, weight: Tensor, bias: Tensor | None = None) -> dict[str, Tensor]:
    """A linear module's weight and bias (None: zero), by their names."""
    return {
        f"{name}.weight": weight,
        f"{name}.bias": torch.zeros(len(weight)) if bias is None else bias,
    }
