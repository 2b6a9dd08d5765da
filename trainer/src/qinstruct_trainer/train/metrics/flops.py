"""The FLOPs of a step and the peak of a device: the parts of model FLOPs utilisation (MFU)."""

from typing import Any

import torch
from transformers import LlavaConfig

# Dense bf16 peak in FLOP/s by a part of the device's name (NVIDIA data sheets).
_PEAKS = {"A100": 312e12, "H100": 989e12, "H200": 989e12, "B200": 2250e12}


def step_flops(config: LlavaConfig, *, tokens: float, squared: float, images: float) -> float:
    """FLOPs of forward and backward, recomputation not counted.

    Three times the forward's (6 N per token and attention's 6 L h T per token, halved for
    causality as in PaLM, appendix B); the frozen tower counts its forward only.

    Args:
        config: The model's.
        tokens: Sum of the samples' lengths T.
        squared: Sum of T squared.
        images: Images encoded.
    """
    text: Any = config.text_config
    vision: Any = config.vision_config
    hidden, layers = text.hidden_size, text.num_hidden_layers
    body = layers * (4 * hidden * hidden + 3 * hidden * text.intermediate_size)
    tower = vision.num_hidden_layers * (
        4 * vision.hidden_size**2 + 2 * vision.hidden_size * vision.intermediate_size
    )
    patches = (vision.image_size // vision.patch_size) ** 2
    flops: float = 6 * body * tokens + 6 * layers * hidden * squared + 2 * tower * patches * images
    return flops


def peak_flops(device: torch.device) -> float | None:
    """The device's dense bf16 peak in FLOP/s, or None when it is not known."""
    if device.type != "cuda":
        return None
    name = torch.cuda.get_device_name(device)
    return next((peak for part, peak in _PEAKS.items() if part in name), None)
