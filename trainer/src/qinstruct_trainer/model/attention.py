"""Causal attention of records that lie one after another in one row, without padding.

transformers asks a registered function for the attention of each Llama layer and hands it every
keyword of the call on. `LlavaLoss` gives the records' lengths that way, so no record sees
another, and no mask of [T, T] is made. flash-attn's function in transformers knows its keywords
(`cu_seq_lens_q` and so on) already; torch's kernels are called here.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.attention.varlen import varlen_attn
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface

from qinstruct_trainer.contract.config import Attention
from qinstruct_trainer.data.collate import Batch

# Kernels of torch, by what `training.attention` calls them.
_REGISTERED: dict[Attention, str] = {"sdpa": "qinstruct_sdpa", "eager": "qinstruct_eager"}
_HALF = (torch.bfloat16, torch.float16)


def implementations(attention: Attention) -> dict[str, str]:
    """What transformers is to use in each part of the model, as its `attn_implementation`."""
    text = _REGISTERED.get(attention, attention)
    return {"": attention, "text_config": text, "vision_config": attention}


def keywords(batch: Batch) -> dict[str, Any]:
    """What the Llama is told of where records begin, by each name that a kernel knows it by."""
    longest = max(batch.lengths)
    return {
        "lengths": batch.lengths,
        "cu_seq_lens_q": batch.starts,
        "cu_seq_lens_k": batch.starts,
        "max_length_q": longest,
        "max_length_k": longest,
    }


def _attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    scaling: float,
    lengths: tuple[int, ...] | None = None,
    cu_seq_lens_q: Tensor | None = None,
    max_length_q: int = 0,
    **_: object,
) -> tuple[Tensor, None]:
    """Causal attention, each record for itself.

    Args:
        module: The layer that asks.
        query: [1, heads, T, size]. Without `lengths` [B, heads, T, size]: B whole rows.
        key: Like `query`, perhaps of fewer heads.
        value: Like `key`.
        attention_mask: None: transformers makes no mask for a function that it does not know, so
            rows with padding must not come here.
        scaling: Of the scores.
        lengths: Of the records, in order; their sum is T.
        cu_seq_lens_q: [records + 1] int32, where each begins, and T; on the device.
        max_length_q: The longest of `lengths`.

    Returns:
        [B, T, heads, size], and no weights.
    """
    if attention_mask is not None:
        raise ValueError("packed attention takes no mask")
    grouped = query.shape[1] != key.shape[1]
    if lengths is not None and cu_seq_lens_q is not None and _varlen_runs(query):
        q, k, v = (each[0].transpose(0, 1) for each in (query, key, value))
        found: Any = varlen_attn(
            q,
            k,
            v,
            cu_seq_lens_q,
            cu_seq_lens_q,
            max_length_q,
            max_length_q,
            scale=scaling,
            window_size=(-1, 0),  # causal
            enable_gqa=grouped,
        )
        return found.unsqueeze(0), None
    # The lengths are known to the host: to ask the device for them would wait for it.
    sizes = list(lengths or (query.shape[2],))
    rows = [
        scaled_dot_product_attention(q, k, v, is_causal=True, scale=scaling, enable_gqa=grouped)
        for q, k, v in zip(
            *(torch.split(each, sizes, dim=2) for each in (query, key, value)), strict=True
        )
    ]
    return torch.cat(rows, dim=2).transpose(1, 2), None


def _attend_plainly(*args: Any, **kwargs: Any) -> tuple[Tensor, None]:
    """The same with whole matrices of scores."""
    with sdpa_kernel(SDPBackend.MATH):
        return _attend(*args, **(kwargs | {"cu_seq_lens_q": None}))


def _varlen_runs(query: Tensor) -> bool:
    """Whether torch has a kernel for rows of many lengths: flash attention of sm80 and later."""
    return (
        query.is_cuda
        and query.dtype in _HALF
        and query.shape[-1] <= 256
        and torch.cuda.get_device_capability(query.device) >= (8, 0)
    )


AttentionInterface.register(_REGISTERED["sdpa"], _attend)
AttentionInterface.register(_REGISTERED["eager"], _attend_plainly)
