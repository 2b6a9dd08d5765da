"""A vision tower that is designed instead of pretrained: filters, then their energies.

The published tower (CLIP) brings features that see blur, noise and blocks; a random tower of
the same class does not. This one is set by formula, the way classical quality metrics are built:
the patch embedding is a discrete cosine transform of the luminance plus some of the colour,
and the first layer's MLP writes the magnitude of each coefficient beside it. Nothing in it has
seen an image; it is frozen in training like CLIP is.
"""

import math

import torch
from torch import Tensor

# ITU-R BT.601 luma, and two opponent colours (red-green, blue-yellow).
_LUMINANCE = (0.299, 0.587, 0.114)
_OPPONENTS = ((1.0, -1.0, 0.0), (-0.5, -0.5, 1.0))
_NUM_CHROMA_FREQUENCIES = 3

# How far inputs of quick_gelu are scaled so that it acts as a rectifier.
_RECTIFIER_GAIN = 8.0

# The constant channel: layer normalisation divides it by the patch's own scale, and so keeps
# visible how strong the patch's contrast was.
_CONSTANT = 4.0


def cosine_filters(patch_size: int) -> Tensor:
    """The filter bank, [K, 3, patch_size, patch_size].

    Two-dimensional DCT-II of the luminance at every second pair of frequencies (a
    checkerboard, which keeps all bands), and the lowest frequencies of the two opponent
    colours. Each filter is scaled by its frequency: natural images have an amplitude spectrum
    of 1/f (Field 1987, "Relations between the statistics of natural images and the response
    properties of cortical cells"), so that all coefficients come out alike in size.
    """
    position = (torch.arange(patch_size) + 0.5) * math.pi / patch_size
    waves = torch.cos(torch.arange(patch_size)[:, None] * position[None, :])
    waves = waves / waves.norm(dim=1, keepdim=True)
    filters = []
    for u in range(patch_size):
        for v in range(patch_size):
            plane = torch.outer(waves[u], waves[v]) * max(1.0, math.hypot(u, v))
            if (u + v) % 2 == 0:
                filters.append(torch.stack([plane * weight for weight in _LUMINANCE]))
            if max(u, v) < _NUM_CHROMA_FREQUENCIES:
                filters += [
                    torch.stack([plane * weight for weight in opponent]) for opponent in _OPPONENTS
                ]
    return torch.stack(filters)


def designed_weights(*, width: int, image_size: int, patch_size: int) -> dict[str, Tensor]:
    """The designed tensors of a two-layer `CLIPVisionModel`, by their names in it.

    They are the embedding and the first layer's attention output and MLP; all others keep their
    initial values. All widths are the same. Channels [0, K) of the output of layer 1 are signed
    coefficients, [K, 2K) their magnitudes, and the last one is a constant. LLaVA reads
    `hidden_states[-2]`, which is this layer's output.
    """
    filters = cosine_filters(patch_size)
    num_filters = len(filters)
    num_positions = (image_size // patch_size) ** 2 + 1
    signed, magnitudes = slice(0, num_filters), slice(num_filters, 2 * num_filters)
    identity = torch.eye(num_filters)

    patches = torch.zeros(width, *filters.shape[1:])
    patches[signed] = filters
    positions = torch.zeros(num_positions, width)
    positions[:, -1] = _CONSTANT
    fc1, fc2 = torch.zeros(width, width), torch.zeros(width, width)
    fc1[signed, signed] = _RECTIFIER_GAIN * identity
    fc1[magnitudes, signed] = -_RECTIFIER_GAIN * identity
    # |x| is about (quick_gelu(g x) + quick_gelu(-g x)) / g.
    fc2[magnitudes, signed] = identity / _RECTIFIER_GAIN
    fc2[magnitudes, magnitudes] = identity / _RECTIFIER_GAIN
    layer = "encoder.layers.0"
    return {
        "embeddings.patch_embedding.weight": patches,
        "embeddings.position_embedding.weight": positions,
        # No mixing of patches: the language model's attention does that.
        f"{layer}.self_attn.out_proj.weight": torch.zeros(width, width),
        f"{layer}.self_attn.out_proj.bias": torch.zeros(width),
        f"{layer}.mlp.fc1.weight": fc1,
        f"{layer}.mlp.fc1.bias": torch.zeros(width),
        f"{layer}.mlp.fc2.weight": fc2,
        f"{layer}.mlp.fc2.bias": torch.zeros(width),
    }
