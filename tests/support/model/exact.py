"""What a loss is held against: transformers' own forward of padded rows, and norms in float64."""

import torch
from torch import Tensor, nn
from transformers import LlavaForConditionalGeneration
from transformers.models.llama.modeling_llama import LlamaRMSNorm

from qinstruct_trainer.contract.config import Attention
from support.model.tiny import IMAGE_TOKEN, Samples, padded, tiny_model


def padded_logits(
    model: LlavaForConditionalGeneration, samples: Samples, pixels: Tensor
) -> tuple[Tensor, Tensor]:
    """Logits [B, T - 1, vocabulary] of transformers' own forward, and the labels they foretell."""
    model.set_attn_implementation({"text_config": "sdpa"})
    rows = padded(samples)
    shows = (rows.input_ids == IMAGE_TOKEN).any(dim=1)
    logits = model(
        input_ids=rows.input_ids,
        pixel_values=pixels[shows] if shows.any() else None,
        attention_mask=rows.attention_mask,
        use_cache=False,
    ).logits
    return logits, rows.labels


class ExactNorm(nn.Module):
    """Llama's norm in the dtype of its input: transformers rounds its input to float32."""

    def __init__(self, norm: LlamaRMSNorm) -> None:
        super().__init__()
        self.weight, self._epsilon = norm.weight, norm.variance_epsilon

    def forward(self, hidden: Tensor) -> Tensor:
        variance = hidden.square().mean(-1, keepdim=True)
        return self.weight * hidden * torch.rsqrt(variance + self._epsilon)


def exact_model(
    attention: Attention, head_size: int | None = None
) -> LlavaForConditionalGeneration:
    """In float64 throughout."""
    model = tiny_model(attention=attention, head_size=head_size).double()
    llama = model.model.language_model
    for parent in (llama, *llama.layers):
        for name, child in list(parent.named_children()):
            if isinstance(child, LlamaRMSNorm):
                setattr(parent, name, ExactNorm(child))
    return model
